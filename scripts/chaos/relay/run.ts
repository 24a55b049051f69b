/**
 * Events of one service that travel over a broker into the log of another: processes of both are killed, frozen and
 * stopped, and the broker and the network before it are broken, all at once. What was acknowledged has its effects, once.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { breakBroker, type Broken } from '../brokers/breaking.ts'
import { startBroker } from '../brokers/broker.ts'
import type { BrokerServer } from '../brokers/server.ts'
import type { BrokerFault } from '../brokers/faults.ts'
import type { BrokerKind } from '../brokers/kinds.ts'
import { check, failed, MIN_ACKED, type Verdict } from '../check.ts'
import { connectTo, openDatabase, serverOf } from '../database.ts'
import { eventsScenario } from '../events-scenario.ts'
import { faultsOf, type FaultCounts } from '../faults.ts'
import { Fleet } from '../fleet.ts'
import { countRows } from '../jobs-scenario.ts'
import { BRIDGED_TABLE, EFFECTS_TABLE, ORDERS_TABLE } from '../programs/tables.ts'
import { readFacts, Recorder } from '../record.ts'
import { stagePrograms } from '../stage.ts'
import { versionUnderTest } from '../version.ts'
import { Arrivals } from './arrivals.ts'

export interface RelayOptions extends FaultCounts {
  readonly transport: BrokerKind
  /** @default one of the run's own */
  readonly open?: () => Promise<BrokerServer>
  /** What befalls the broker, in this order. */
  readonly faults: readonly BrokerFault[]
  readonly seed: number
  /** Processes of each service. */
  readonly workers: number
  /** Processes that publish. */
  readonly clients: number
  /** From one fault of a process to the next, on average. */
  readonly paceMs: number
  readonly drainMs: number
  /** The longest that the broker is silent. */
  readonly longestMs?: number
  /** No fault of the broker is begun after so many milliseconds. */
  readonly forMs?: number | undefined
  readonly dsn: string | undefined
  readonly log: (text: string) => void
}

export interface RelayReport extends Verdict, Broken {
  readonly transport: BrokerKind
  readonly seed: number
  readonly seconds: number
  readonly version: string
  readonly server: string
  readonly broker: string
  /** Kills by the moment at which a process ended itself. */
  readonly moments: Readonly<Record<string, number>>
  /** Of the reader: in its log more than once. */
  readonly writtenTwice: readonly string[]
  readonly dead: number
  readonly exits: Readonly<Record<string, number>>
}

const FREEZE_MS = 14_000
const LOOK_MS = 500
/** Of each caller. An event is written twice on its way and read three times, which takes ten times as long as to publish it. */
const PAUSE_MS = '200'
/** For something to arrive, before a process is killed all the same. */
const PATIENCE_MS = 60_000
/** From one fault of the broker to the next, on average, once events come through again. */
const BROKER_PACE_MS = 2_000
const WRITER_MOMENTS = ['events.ticked', 'events.read', 'events.relayed', 'events.moved']
const CLIENT_MOMENTS = ['events.publish', 'events.published', ...WRITER_MOMENTS]
const READER_MOMENTS = ['events.bridging', 'events.bridged', ...eventsScenario.workerMoments]

export async function runRelay(options: RelayOptions): Promise<RelayReport> {
  const { transport, seed, faults, dsn, log } = options
  const random = seededRandom(seed)
  const startedAt = Date.now()
  await using stack = new AsyncDisposableStack()
  const stage = stack.use(
    await stagePrograms({
      writer: new URL('../programs/relay-writer.ts', import.meta.url),
      reader: new URL('../programs/relay-reader.ts', import.meta.url),
    }),
  )
  const version = versionUnderTest()
  const file = join(stage.directory, 'facts.jsonl')
  await writeFile(file, '')
  const recorder = stack.adopt(new Recorder(file), (open) => open.close())
  const writing = stack.use(await openDatabase(dsn))
  const reading = stack.use(await openDatabase(dsn))
  const open = options.open ?? (() => startBroker(transport, log))
  const broker = stack.use(await open())
  const writerDb = stack.adopt(await connectTo(writing.dsn), (client) => client.end())
  const readerDb = stack.adopt(await connectTo(reading.dsn), (client) => client.end())
  await writerDb.query(ORDERS_TABLE)
  await readerDb.query(`${EFFECTS_TABLE}; ${BRIDGED_TABLE}`)

  const fleet = (program: string, size: number, of: { dsn: string }, more: object, moments: string[]) =>
    stack.adopt(
      new Fleet({
        program: stage.program(program),
        size,
        env: { ...broker.env, CHAOS_DSN: of.dsn, CHAOS_FILE: file, ...more },
        random,
        recorder,
        // Without kills nobody ends by itself either.
        moments: options.kills === 0 ? [] : moments,
        freezeMs: FREEZE_MS,
        log,
        onFault: () => {},
      }),
      (open) => open.stop(),
    )
  const readers = fleet('reader', options.workers, reading, {}, READER_MOMENTS)
  const relays = fleet('writer', options.workers, writing, {}, WRITER_MOMENTS)
  const clients = fleet(
    'writer',
    options.clients,
    writing,
    { CHAOS_PUBLISHES: '1', CHAOS_PAUSE_MS: PAUSE_MS },
    CLIENT_MOMENTS,
  )
  const fleets = [readers, relays, clients]

  await readers.start()
  while ((await countRows(readerDb, 'chaos_bridged')) === 0) await sleep(LOOK_MS)
  await relays.start()
  await clients.start()
  log(`${broker.title}: events are on their way`)

  const arrivals = stack.adopt(new Arrivals(file), (open) => open.close())
  let isBreaking = true
  let isBroken = false
  const breaking = breakBroker({
    broker,
    faults,
    random: seededRandom(seed + 1),
    paceMs: BROKER_PACE_MS,
    longestMs: options.longestMs,
    forMs: options.forMs,
    arrivedSince: (time) => arrivals.since(time),
    isOver: () => isBroken,
    said: (f, fault) => recorder.write({ f, fault }),
    log,
  }).finally(() => (isBreaking = false))
  const striking = strikeAll(options, random, fleets, arrivals, () => isBreaking).catch((error: unknown) => {
    isBroken = true
    throw error
  })
  // Both have ended before anything is taken away from under them.
  await Promise.allSettled([breaking, striking])
  await striking
  const broken = await breaking
  while (!arrivals.since(0) || arrivals.acked < MIN_ACKED) await sleep(LOOK_MS)
  log('no more faults: nobody publishes any more, what is on its way arrives')
  await Promise.all([relays.calm(), readers.calm(), clients.stop()])

  const evidence = async () => {
    const { rows } = await readerDb.query<{ id: string; by: string }>('select id, by from chaos_effects')
    return { facts: readFacts(file), rows, readers: eventsScenario.readers }
  }
  const left = async (): Promise<number> => {
    const tasks = (await countRows(writerDb, 'sluice.task')) + (await countRows(readerDb, 'sluice.task'))
    if (tasks > 0) return tasks
    return check({ ...(await evidence()), drained: true, crashes: [] }).lost.length
  }
  const drained = await drain(left, options)
  await Promise.all([relays.stop(), readers.stop()])

  const all = await evidence()
  const verdict = check({ ...all, drained, crashes: fleets.flatMap(({ crashes }) => crashes) })
  return {
    ...verdict,
    ...broken,
    invalid: verdict.invalid.filter((reason) => reason !== NO_FAULT || broken.healings.length === 0),
    transport,
    seed,
    seconds: Math.round((Date.now() - startedAt) / 1_000),
    version,
    server: await serverOf(readerDb, dsn === undefined),
    broker: broker.title,
    moments: tally(
      all.facts.flatMap((fact) => (fact.f === 'kill' && fact.at !== undefined ? [fact.at] : [])),
    ),
    writtenTwice: await writtenTwice(readerDb),
    dead: (await countRows(writerDb, 'sluice.dead')) + (await countRows(readerDb, 'sluice.dead')),
    exits: tally(fleets.flatMap(({ exits }) => [...exits].flatMap(([how, n]) => Array<string>(n).fill(how)))),
  }
}

/** Is there anything that must not be? */
export function relayFailed(report: RelayReport): boolean {
  return failed(report) || report.stuck.length + report.writtenTwice.length > 0
}

const NO_FAULT = 'no fault fired'

/** As many as were asked for, and for as long as the broker is broken. */
async function strikeAll(
  { kills, freezes, stops, paceMs }: RelayOptions,
  random: () => number,
  fleets: readonly Fleet[],
  arrivals: Arrivals,
  isBreaking: () => boolean,
): Promise<void> {
  if (kills === 0) return
  const killed = (): number => fleets.reduce((sum, fleet) => sum + fleet.kills, 0)
  let [last, lastButOne] = [0, 0]
  do {
    for (const fault of faultsOf({ kills, freezes, stops })) {
      if (fault === 'kill' && killed() >= kills && !isBreaking()) continue
      await sleep(paceMs * (0.5 + random()))
      // Where processes take longer to start than they live, nothing is proved: there is one fault on top of another, and no third.
      await arrivals.waitFor(lastButOne, PATIENCE_MS)
      while (!(await fleets[Math.floor(random() * fleets.length)]!.strike(fault))) await sleep(paceMs)
      ;[last, lastButOne] = [Date.now(), last]
    }
  } while (isBreaking())
}

async function drain(left: () => Promise<number>, { drainMs, log }: RelayOptions): Promise<boolean> {
  const until = Date.now() + drainMs
  for (;;) {
    const missing = await left()
    if (missing === 0) return true
    if (Date.now() > until) {
      log(`${missing} left after ${drainMs / 1_000} s`)
      return false
    }
    await sleep(LOOK_MS)
  }
}

async function writtenTwice(db: pg.Client): Promise<readonly string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select body::json ->> 'id' as id from sluice.event group by 1 having count(*) > 1`,
  )
  return rows.map(({ id }) => id)
}

function tally(names: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
