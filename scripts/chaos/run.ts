/** One run: a database, a fleet of workers and one of clients, faults at random, silence, and the verdict. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { createTestDatabase } from '../../src/components/postgres/embedded/test-database.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { check, type Evidence, type Verdict } from './check.ts'
import { Fleet } from './fleet.ts'
import { EFFECTS_TABLE, ORDERS_TABLE } from './programs/tables.ts'
import { readFacts, Recorder } from './record.ts'
import type { Scenario } from './scenario.ts'

export interface RunOptions {
  readonly scenario: Scenario
  readonly kills: number
  readonly seed: number
  /** Share of faults that freeze a worker for longer than its lease instead of killing it. */
  readonly freezeShare: number
  readonly workers: number
  readonly clients: number
  /** A server of one's own; without it an embedded one is started for the run. */
  readonly dsn: string | undefined
  readonly log: (text: string) => void
}

export interface RunReport extends Verdict {
  readonly scenario: string
  readonly seed: number
  readonly seconds: number
  readonly server: string
  readonly exits: Readonly<Record<string, number>>
  readonly dead: number
}

const FREEZE_MS = 14_000
/** After the last fault: longer than a lease, its release and what is left to run take. */
const DRAIN_MS = 120_000
/** Between two faults, on average. */
const STRIKE_EVERY_MS = 250

export async function runChaos(options: RunOptions): Promise<RunReport> {
  const { scenario, kills, seed, log } = options
  const random = seededRandom(seed)
  const directory = await mkdtemp(join(tmpdir(), 'sluice-chaos-'))
  const file = join(directory, 'facts.jsonl')
  await writeFile(file, '')
  await using database = await openDatabase(options.dsn)
  const recorder = new Recorder(file)
  const db = new pg.Client({ connectionString: database.dsn })
  await db.connect()
  const startedAt = Date.now()
  try {
    await db.query(`${EFFECTS_TABLE}; ${ORDERS_TABLE}`)
    const shared = {
      random,
      recorder,
      log,
      env: { CHAOS_DSN: database.dsn, CHAOS_FILE: file },
      freezeMs: FREEZE_MS,
    }
    const { workerMoments, clientMoments } = scenario
    const workers = new Fleet({
      ...shared,
      program: scenario.worker,
      size: options.workers,
      moments: workerMoments,
      freezeShare: options.freezeShare,
    })
    const clients = new Fleet({
      ...shared,
      program: scenario.client,
      size: options.clients,
      moments: clientMoments,
      freezeShare: 0,
    })
    try {
      await workers.start()
      await clients.start()
      const total = (): number => workers.kills + clients.kills
      for (let said = 0; total() < kills;) {
        await sleep(STRIKE_EVERY_MS * (0.5 + random()))
        await (random() < 0.75 ? workers : clients).strike()
        if (total() >= said + 100) {
          said = total() - (total() % 100)
          log(`${total()} of ${kills} kills, ${workers.freezes} freezes`)
        }
      }
      log('no more faults: clients end, workers finish what is left')
      await workers.calm()
      await clients.stop()
      const drained = await drain(scenario, db, file, log)
      await workers.stop()
      const exits: Record<string, number> = {}
      for (const fleet of [workers, clients]) {
        for (const [how, times] of fleet.exits) exits[how] = (exits[how] ?? 0) + times
      }
      return {
        scenario: scenario.name,
        seed,
        seconds: Math.round((Date.now() - startedAt) / 1_000),
        server: await serverOf(db, options.dsn === undefined),
        exits,
        dead: await scenario.dead(db),
        ...check({ ...(await evidenceOf(scenario, db, file)), drained }),
      }
    } finally {
      await Promise.all([workers.stop(), clients.stop()])
    }
  } finally {
    recorder.close()
    await db.end()
    await rm(directory, { recursive: true, force: true })
  }
}

/** Waits until no task is left and each acknowledged one had its effects; the evidence as it is when asked for. */
async function drain(
  scenario: Scenario,
  db: pg.Client,
  file: string,
  log: (text: string) => void,
): Promise<boolean> {
  const until = Date.now() + DRAIN_MS
  for (;;) {
    const left = await scenario.left(db)
    const missing =
      left > 0 ? left : check({ ...(await evidenceOf(scenario, db, file)), drained: true }).lost.length
    if (missing === 0) return true
    if (Date.now() > until) {
      log(`${missing} left after ${DRAIN_MS / 1_000} s`)
      return false
    }
    await sleep(500)
  }
}

async function evidenceOf(
  scenario: Scenario,
  db: pg.Client,
  file: string,
): Promise<Omit<Evidence, 'drained'>> {
  const { rows } = await db.query<{ id: string; by: string }>('select id, by from chaos_effects')
  return { facts: readFacts(file), rows, readers: scenario.readers }
}

async function openDatabase(dsn: string | undefined): Promise<AsyncDisposable & { readonly dsn: string }> {
  if (dsn === undefined) return createTestDatabase()
  const name = `sluice_chaos_${process.pid}`
  const admin = async (sql: string): Promise<void> => {
    const client = new pg.Client({ connectionString: dsn })
    await client.connect()
    await client.query(sql)
    await client.end()
  }
  await admin(`create database ${name}`)
  const own = new URL(dsn)
  own.pathname = `/${name}`
  return {
    dsn: own.href,
    [Symbol.asyncDispose]: () => admin(`drop database if exists ${name} with (force)`),
  }
}

async function serverOf(db: pg.Client, embedded: boolean): Promise<string> {
  const { rows } = await db.query<{ server_version: string }>('show server_version')
  return `PostgreSQL ${rows[0]?.server_version ?? '?'}${embedded ? ', embedded' : ''}`
}
