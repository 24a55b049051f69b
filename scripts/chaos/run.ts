/** One run: a database, a fleet of workers and one of clients, faults at random, silence, and the verdict. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { openDatabase, serverOf } from './database.ts'
import { check, MIN_ACKED, type Evidence, type Verdict } from './check.ts'
import { faultsOf, type FaultCounts } from './faults.ts'
import { Fleet } from './fleet.ts'
import { EFFECTS_TABLE, ORDERS_TABLE } from './programs/tables.ts'
import { readFacts, Recorder } from './record.ts'
import type { Scenario } from './scenario.ts'
import { stagePrograms } from './stage.ts'
import { versionUnderTest } from './version.ts'
import { Watch, type Fault, type Owned, type Taken } from './watch.ts'

export interface RunOptions extends FaultCounts {
  readonly scenario: Scenario
  readonly seed: number
  readonly workers: number
  readonly clients: number
  /** Milliseconds between two faults, on average. */
  readonly paceMs: number
  /** For what is left after the last fault; longer than a lease, its release and what is left to run take. */
  readonly drainMs: number
  /** A server of one's own; without it an embedded one is started for the run. */
  readonly dsn: string | undefined
  readonly log: (text: string) => void
}

export interface RunReport extends Verdict {
  readonly scenario: string
  readonly seed: number
  readonly seconds: number
  /** Of these, how long faults were caused. */
  readonly secondsOfFaults: number
  /** Of sluice, its commit, and Node.js. */
  readonly version: string
  readonly server: string
  readonly exits: Readonly<Record<string, number>>
  readonly dead: number
  /** What the database shows of the work of processes that were killed, frozen, or told to stop. */
  readonly taken: Readonly<Record<Fault, Readonly<Record<Owned, Taken>>>>
}

const FREEZE_MS = 14_000
/** Share of the kills that clients get, who have nothing to be frozen for. */
const CLIENT_SHARE = 0.25

export async function runChaos(options: RunOptions): Promise<RunReport> {
  const { scenario, seed, log, clients: clientCount, workers: workerCount } = options
  const random = seededRandom(seed)
  await using stage = await stagePrograms({ worker: scenario.worker, client: scenario.client })
  const file = join(stage.directory, 'facts.jsonl')
  await writeFile(file, '')
  await using database = await openDatabase(options.dsn)
  const recorder = new Recorder(file)
  const db = new pg.Client({ connectionString: database.dsn })
  await db.connect()
  const startedAt = Date.now()
  // The tree may be edited while it runs; the programs were put together just now.
  const version = versionUnderTest()
  try {
    await db.query(`${EFFECTS_TABLE}; ${ORDERS_TABLE}`)
    await using watch = await Watch.open(database.dsn)
    const shared = {
      random,
      recorder,
      log,
      env: { CHAOS_DSN: database.dsn, CHAOS_FILE: file },
      freezeMs: FREEZE_MS,
      onFault: (fault: Fault, pid: number) => watch.struck(fault, pid),
    }
    const { workerMoments, clientMoments } = scenario
    const program = (name: string): string => stage.program(name)
    const workers = new Fleet({
      ...shared,
      program: program('worker'),
      size: workerCount,
      moments: workerMoments,
    })
    const clients = new Fleet({
      ...shared,
      program: program('client'),
      size: clientCount,
      moments: clientMoments,
    })
    try {
      await workers.start()
      await clients.start()
      const faultsFrom = Date.now()
      await causeFaults(options, random, workers, clients)
      await enoughAcked(options, file)
      const secondsOfFaults = seconds(Date.now() - faultsFrom)
      log('no more faults: clients end, workers finish what is left')
      await Promise.all([workers.calm(), clients.stop()])
      const drained = await drain(options, db, file)
      await workers.stop()
      const exits: Record<string, number> = {}
      for (const fleet of [workers, clients]) {
        for (const [how, times] of fleet.exits) exits[how] = (exits[how] ?? 0) + times
      }
      const crashes = [...workers.crashes, ...clients.crashes]
      return {
        scenario: scenario.name,
        seed,
        seconds: seconds(Date.now() - startedAt),
        secondsOfFaults,
        version,
        server: await serverOf(db, options.dsn === undefined),
        exits,
        dead: await scenario.dead(db),
        taken: {
          kill: takenOf(watch, 'kill'),
          freeze: takenOf(watch, 'freeze'),
          stop: takenOf(watch, 'stop'),
        },
        ...check({ ...(await evidenceOf(scenario, db, file)), drained, crashes }),
      }
    } finally {
      await Promise.all([workers.stop(), clients.stop()])
    }
  } finally {
    recorder.close()
    await db.end()
  }
}

/** Until all faults were caused; processes that end themselves at a moment of their own count among the kills. */
async function causeFaults(
  { kills, freezes, stops, paceMs, log }: RunOptions,
  random: () => number,
  workers: Fleet,
  clients: Fleet,
): Promise<void> {
  const total = (): number => workers.kills + clients.kills
  let said = 0
  for (const fault of faultsOf({ kills, freezes, stops })) {
    if (fault === 'kill' && total() >= kills) continue
    await sleep(paceMs * (0.5 + random()))
    // Nobody is left for it for a moment: one frozen, the others about to end.
    const fleet = fault === 'kill' && random() < CLIENT_SHARE ? clients : workers
    while (!(await fleet.strike(fault))) await sleep(paceMs)
    if (total() < said + 100) continue
    said = total() - (total() % 100)
    log(`${total()} of ${kills} kills, ${workers.freezes} freezes, ${workers.stops} stops`)
  }
}

/** On a slow machine the faults are over before there was enough work to prove anything. */
async function enoughAcked({ drainMs }: RunOptions, file: string): Promise<void> {
  const until = Date.now() + drainMs
  while (Date.now() < until) {
    if (readFacts(file).filter((fact) => fact.f === 'ok').length >= MIN_ACKED) return
    await sleep(250)
  }
}

/** Waits until no task is left and each acknowledged one had its effects; the evidence as it is when asked for. */
async function drain({ scenario, drainMs, log }: RunOptions, db: pg.Client, file: string): Promise<boolean> {
  const until = Date.now() + drainMs
  for (;;) {
    const left = await scenario.left(db)
    const missing =
      left > 0
        ? left
        : check({ ...(await evidenceOf(scenario, db, file)), drained: true, crashes: [] }).lost.length
    if (missing === 0) return true
    if (Date.now() > until) {
      log(`${missing} left after ${drainMs / 1_000} s`)
      return false
    }
    await sleep(250)
  }
}

async function evidenceOf(
  scenario: Scenario,
  db: pg.Client,
  file: string,
): Promise<Omit<Evidence, 'drained' | 'crashes'>> {
  const { rows } = await db.query<{ id: string; by: string }>('select id, by from chaos_effects')
  return { facts: readFacts(file), rows, readers: scenario.readers }
}

function takenOf(watch: Watch, fault: Fault): Readonly<Record<Owned, Taken>> {
  return { tasks: watch.taken(fault, 'tasks'), shards: watch.taken(fault, 'shards') }
}

function seconds(ms: number): number {
  return Math.round(ms / 1_000)
}
