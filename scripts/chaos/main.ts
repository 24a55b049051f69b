/**
 * `npm run chaos -- jobs | events [--kills N] [--freezes N] [--stops N] [--seed S] [--pace MS] [--drain SECONDS]
 * [--workers N] [--clients N] [--dsn URL] [--json FILE]`: kills, freezes and stops the processes of a service that works
 * with jobs or events, and proves from the outside that nothing acknowledged was lost. Prints faults, acknowledged, lost,
 * doubles, recovery times and the seed; exit code 1 where something was lost, ran twice or was never proved.
 *
 * `npm run chaos -- replicator [--rounds N] [--kills N] [--seed S] [--workers N] [--run auto|function|script|single]
 * [--json FILE]`: breaks replicators, their store and their source, and compares the store with the source after each round.
 *
 * `npm run chaos -- relay [--transport rabbitmq|kafka] [--kills N] [--rounds N] [--only FAULT]... [--minutes M]
 * [--seed S] [--workers N] [--clients N] [--dsn URL] [--json FILE]`: events of a service that travel over a broker into the log of another; processes of both are
 * killed while the broker is killed, restarted, frozen and cut off, N times each.
 *
 * `npm run chaos -- community [--transport rabbitmq|kafka] [--rounds N] [--only FAULT]... [--minutes M] [--kills N]
 * [--rate R] [--users N] [--seed S] [--workers N] [--dsn URL] [--json FILE]`: the example under load while its broker is broken in the same ways.
 *
 * `npm run chaos -- rolling [--rounds N] [--workers N] [--clients N] [--dsn URL] [--json FILE]`: stops and starts the
 * processes of a service one after the other under load; no request may fail, and nothing be lost, doubled or reordered.
 *
 * `npm run chaos -- mutants [--only NAME]...`: takes one guarantee after the other out of a copy of the source, and shows
 * that a chaos run or a test catches each.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { BROKER_FAULTS, brokerFaults, isBrokerFault, type BrokerFault } from './brokers/faults.ts'
import { BROKER_KINDS, isBrokerKind, type BrokerKind } from './brokers/kinds.ts'
import { failed } from './check.ts'
import { MUTANTS } from './mutants/list.ts'
import { formatVerdicts } from './mutants/report.ts'
import { runMutants } from './mutants/run.ts'
import type { FaultCounts } from './faults.ts'
import { formatReport } from './report.ts'
import { runChaos } from './run.ts'
import { eventsScenario } from './events-scenario.ts'
import { jobsScenario } from './jobs-scenario.ts'
import type { Scenario } from './scenario.ts'

const SCENARIOS: Readonly<Record<string, Scenario>> = { jobs: jobsScenario, events: eventsScenario }

const USAGE = `npm run chaos -- ${Object.keys(SCENARIOS).join(' | ')} [--kills N] [--seed S] [--json FILE]
npm run chaos -- replicator [--rounds N] [--kills N] [--seed S] [--json FILE]
npm run chaos -- relay [--transport rabbitmq|kafka] [--kills N] [--rounds N] [--seed S] [--json FILE]
npm run chaos -- community [--transport rabbitmq|kafka] [--rounds N] [--kills N] [--seed S] [--json FILE]
npm run chaos -- rolling [--rounds N] [--dsn URL] [--json FILE]
npm run chaos -- mutants [--only NAME] [--dsn URL] [--json FILE]`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string' },
    freezes: { type: 'string' },
    stops: { type: 'string' },
    pace: { type: 'string' },
    drain: { type: 'string', default: '120' },
    workers: { type: 'string', default: '3' },
    clients: { type: 'string', default: '2' },
    dsn: { type: 'string' },
    json: { type: 'string' },
    only: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    minutes: { type: 'string' },
    rate: { type: 'string', default: '40' },
    users: { type: 'string', default: '60' },
    transport: { type: 'string', default: 'rabbitmq' },
    run: { type: 'string', default: 'auto' },
  },
})
const [name = ''] = positionals
const log = (text: string): void => void process.stderr.write(`${text}\n`)
const seed =
  values.seed === undefined ? Date.now() % 1_000_000 : wholeNumber('seed', values.seed, 0, 2 ** 32 - 1)
const dsn = values.dsn ?? process.env['POSTGRES_DSN']
const scenario = SCENARIOS[name]
if (scenario !== undefined) process.exitCode = await causeChaos(scenario)
else if (name === 'replicator') process.exitCode = await breakReplicator()
else if (name === 'relay') process.exitCode = await breakRelay()
else if (name === 'community') process.exitCode = await breakCommunity()
else if (name === 'rolling') process.exitCode = await restartByTurns()
else if (name === 'mutants') process.exitCode = await plantMutants()
else {
  console.error(USAGE)
  process.exitCode = 2
}

async function causeChaos(of: Scenario): Promise<number> {
  const kills = wholeNumber('kills', values.kills, 1, 100_000)
  const report = await runChaos({
    scenario: of,
    ...faultCounts(kills),
    seed,
    paceMs: wholeNumber('pace', values.pace ?? '400', 10, 60_000),
    drainMs: wholeNumber('drain', values.drain, 1, 3_600) * 1_000,
    workers: wholeNumber('workers', values.workers, 1, 16),
    clients: wholeNumber('clients', values.clients, 1, 16),
    dsn,
    log,
  })
  return end(report, formatReport(report), failed(report))
}

async function breakReplicator(): Promise<number> {
  const { runReplicatorChaos, replicatorFailed } = await import('./replicator.ts')
  const { formatReplicatorReport } = await import('./replicator-report.ts')
  const report = await runReplicatorChaos({
    seed,
    rounds: wholeNumber('rounds', values.rounds ?? '20', 1, 100_000),
    kills: wholeNumber('kills', values.kills, 0, 100_000),
    workers: wholeNumber('workers', values.workers, 1, 16),
    run: values.run,
    log,
  })
  return end(report, formatReplicatorReport(report), replicatorFailed(report))
}

async function breakRelay(): Promise<number> {
  const { runRelay, relayFailed } = await import('./relay/run.ts')
  const { formatRelayReport } = await import('./relay/report.ts')
  const kills = wholeNumber('kills', values.kills, 0, 100_000)
  const report = await runRelay({
    transport: transport(),
    faults: brokerFaults(wholeNumber('rounds', values.rounds ?? '2', 0, 10_000), seededRandom(seed), kinds()),
    ...faultCounts(kills),
    seed,
    forMs: minutes(),
    paceMs: wholeNumber('pace', values.pace ?? '1500', 10, 60_000),
    drainMs: wholeNumber('drain', values.drain, 1, 3_600) * 1_000,
    workers: wholeNumber('workers', values.workers, 1, 16),
    clients: wholeNumber('clients', values.clients, 1, 16),
    dsn,
    log,
  })
  return end(report, formatRelayReport(report), relayFailed(report))
}

async function breakCommunity(): Promise<number> {
  const { runCommunity, communityFailed } = await import('./community/run.ts')
  const { formatCommunityReport } = await import('./community/report.ts')
  const report = await runCommunity({
    transport: transport(),
    faults: brokerFaults(wholeNumber('rounds', values.rounds ?? '2', 1, 10_000), seededRandom(seed), kinds()),
    kills: wholeNumber('kills', values.kills, 0, 100_000),
    seed,
    forMs: minutes(),
    users: wholeNumber('users', values.users, 2, 100_000),
    rate: wholeNumber('rate', values.rate, 1, 10_000),
    paceMs: wholeNumber('pace', values.pace ?? '3000', 10, 60_000),
    drainMs: wholeNumber('drain', values.drain, 1, 3_600) * 1_000,
    workers: wholeNumber('workers', values.workers, 1, 16),
    dsn,
    log,
  })
  return end(report, formatCommunityReport(report), communityFailed(report))
}

async function restartByTurns(): Promise<number> {
  const { runRolling } = await import('./rolling/run.ts')
  const { formatRollingReport, rollingFailed } = await import('./rolling/report.ts')
  const report = await runRolling({
    restarts: wholeNumber('rounds', values.rounds ?? '20', 1, 10_000),
    replicas: wholeNumber('workers', values.workers, 2, 16),
    customers: wholeNumber('clients', values.clients, 1, 100) * 4,
    dsn,
    log,
  })
  return end(report, formatRollingReport(report), rollingFailed(report))
}

async function plantMutants(): Promise<number> {
  const mutants = MUTANTS.filter((mutant) => values.only === undefined || values.only.includes(mutant.name))
  const verdicts = await runMutants({ mutants, seed, dsn, log })
  const isCaught = verdicts.length > 0 && verdicts.every(({ caught }) => caught !== undefined)
  return end(verdicts, formatVerdicts(verdicts), !isCaught)
}

/** Tells people and programs what came of it; the exit code. */
function end(result: unknown, text: string, hasFailed: boolean): number {
  console.log(text)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`)
  return hasFailed ? 1 : 0
}

/** A few of the other two with so many kills. */
function faultCounts(kills: number): FaultCounts {
  return {
    kills,
    freezes: wholeNumber('freezes', values.freezes ?? String(Math.ceil(kills * 0.03)), 0, kills),
    stops: wholeNumber('stops', values.stops ?? String(Math.ceil(kills * 0.05)), 0, kills),
  }
}

function transport(): BrokerKind {
  if (isBrokerKind(values.transport)) return values.transport
  console.error(`--transport: expected ${BROKER_KINDS.join(' or ')}, got ${JSON.stringify(values.transport)}`)
  process.exit(2)
}

function minutes(): number | undefined {
  return values.minutes === undefined ? undefined : wholeNumber('minutes', values.minutes, 1, 10_000) * 60_000
}

/** Of the faults that a broker has: all, or those that --only names. */
function kinds(): readonly BrokerFault[] {
  const asked = values.only ?? BROKER_FAULTS
  const unknown = asked.find((name) => !isBrokerFault(name))
  if (unknown === undefined) return asked.filter((name) => isBrokerFault(name))
  console.error(`--only: expected ${BROKER_FAULTS.join(', ')}, got ${JSON.stringify(unknown)}`)
  process.exit(2)
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  console.error(`--${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`)
  process.exit(2)
}
