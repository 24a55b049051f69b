/**
 * `npm run chaos -- jobs | events [--kills N] [--freezes N] [--stops N] [--seed S] [--pace MS] [--drain SECONDS]
 * [--workers N] [--clients N] [--dsn URL] [--json FILE]`: kills, freezes and stops the processes of a service that works
 * with jobs or events, and proves from the outside that nothing acknowledged was lost. Prints faults, acknowledged, lost,
 * doubles, recovery times and the seed; exit code 1 where something was lost, ran twice or was never proved.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { failed } from './check.ts'
import { formatReport } from './report.ts'
import { runChaos } from './run.ts'
import { eventsScenario } from './events-scenario.ts'
import { jobsScenario } from './jobs-scenario.ts'
import type { Scenario } from './scenario.ts'

const SCENARIOS: Readonly<Record<string, Scenario>> = { jobs: jobsScenario, events: eventsScenario }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string' },
    freezes: { type: 'string' },
    stops: { type: 'string' },
    pace: { type: 'string', default: '250' },
    drain: { type: 'string', default: '120' },
    workers: { type: 'string', default: '3' },
    clients: { type: 'string', default: '2' },
    dsn: { type: 'string' },
    json: { type: 'string' },
  },
})
const scenario = SCENARIOS[positionals[0] ?? '']
if (scenario === undefined) {
  console.error(`npm run chaos -- ${Object.keys(SCENARIOS).join(' | ')} [--kills N] [--seed S] [--json FILE]`)
  process.exit(2)
}
const kills = wholeNumber('kills', values.kills, 1, 100_000)
const report = await runChaos({
  scenario,
  kills,
  freezes: wholeNumber('freezes', values.freezes ?? String(Math.ceil(kills * 0.03)), 0, kills),
  stops: wholeNumber('stops', values.stops ?? String(Math.ceil(kills * 0.05)), 0, kills),
  seed: values.seed === undefined ? Date.now() % 1_000_000 : wholeNumber('seed', values.seed, 0, 2 ** 32 - 1),
  paceMs: wholeNumber('pace', values.pace, 10, 60_000),
  drainMs: wholeNumber('drain', values.drain, 1, 3_600) * 1_000,
  workers: wholeNumber('workers', values.workers, 1, 16),
  clients: wholeNumber('clients', values.clients, 1, 16),
  dsn: values.dsn ?? process.env['POSTGRES_DSN'],
  log: (text) => void process.stderr.write(`${text}\n`),
})
console.log(formatReport(report))
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
process.exitCode = failed(report) ? 1 : 0

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  console.error(`--${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`)
  process.exit(2)
}
