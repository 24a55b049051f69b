/**
 * The community under load while its broker is broken, and processes are killed: everything that follows from what people
 * did is as it must be, and another service heard of each event once, over the broker alone.
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
import { connectTo, openDatabase, serverOf } from '../database.ts'
import { Fleet } from '../fleet.ts'
import { countRows } from '../jobs-scenario.ts'
import { BRIDGED_TABLE, HEARD_TABLE } from '../programs/tables.ts'
import { Recorder } from '../record.ts'
import { stagePrograms } from '../stage.ts'
import { versionUnderTest } from '../version.ts'
import { startLoad } from './load.ts'

export interface CommunityOptions {
  readonly transport: BrokerKind
  /** @default one of the run's own */
  readonly open?: () => Promise<BrokerServer>
  /** What befalls the broker, in this order. */
  readonly faults: readonly BrokerFault[]
  /** Of processes of the community and of the listener, between the faults. */
  readonly kills: number
  readonly seed: number
  readonly users: number
  readonly rate: number
  readonly workers: number
  readonly paceMs: number
  readonly drainMs: number
  readonly longestMs?: number
  /** No fault of the broker is begun after so many milliseconds. */
  readonly forMs?: number | undefined
  readonly dsn: string | undefined
  readonly log: (text: string) => void
}

export interface CommunityReport extends Broken {
  readonly transport: BrokerKind
  readonly seed: number
  readonly seconds: number
  readonly version: string
  readonly server: string
  readonly broker: string
  readonly kills: number
  /** In the log of the community. */
  readonly happened: number
  readonly lost: readonly string[]
  readonly heardTwice: readonly string[]
  /** Heard of, and in no log. */
  readonly phantoms: readonly string[]
  readonly crashes: readonly string[]
  /** 0: the load says that everything is as it must be. */
  readonly code: number
  readonly output: string
  readonly complaints: string
}

const LOOK_MS = 500
const FREEZE_MS = 14_000
const LISTENERS = 2

export async function runCommunity(options: CommunityOptions): Promise<CommunityReport> {
  const { transport, seed, users, rate, workers, dsn, log, kills, faults } = options
  const random = seededRandom(seed)
  const startedAt = Date.now()
  await using stack = new AsyncDisposableStack()
  const stage = stack.use(
    await stagePrograms({ listener: new URL('../programs/community-listener.ts', import.meta.url) }),
  )
  const version = versionUnderTest()
  const file = join(stage.directory, 'facts.jsonl')
  await writeFile(file, '')
  const recorder = stack.adopt(new Recorder(file), (open) => open.close())
  const town = stack.use(await openDatabase(dsn))
  const listening = stack.use(await openDatabase(dsn))
  const open = options.open ?? (() => startBroker(transport, log))
  const broker = stack.use(await open())
  const townDb = stack.adopt(await connectTo(town.dsn), (client) => client.end())
  const listenerDb = stack.adopt(await connectTo(listening.dsn), (client) => client.end())
  await listenerDb.query(`${HEARD_TABLE}; ${BRIDGED_TABLE}`)
  const listeners = stack.adopt(
    new Fleet({
      program: stage.program('listener'),
      size: LISTENERS,
      env: { ...broker.env, CHAOS_DSN: listening.dsn, CHAOS_FILE: file },
      random,
      recorder,
      moments: kills === 0 ? [] : ['events.bridging', 'events.bridged', 'events.committing'],
      freezeMs: FREEZE_MS,
      log,
      onFault: () => {},
    }),
    (open) => open.stop(),
  )
  await listeners.start()
  while ((await countRows(listenerDb, 'chaos_bridged')) === 0) await sleep(LOOK_MS)
  const load = startLoad({
    directory: stage.directory,
    env: { ...broker.env, POSTGRES_DSN: town.dsn },
    users,
    rate,
    workers,
    seed,
  })
  stack.defer(() => load.kill())
  await load.begun
  log(`${broker.title}: ${load.output.trim().split('\n').at(-1)}`)

  let killed = 0
  let killing = Promise.resolve()
  const killSome = async (times: number): Promise<void> => {
    for (; killed < Math.round((kills * times) / faults.length); killed++) {
      if (killed % 2 === 0) load.say('kill')
      else await listeners.strike('kill')
    }
  }
  let healed = 0
  const broken = await breakBroker({
    broker,
    faults,
    random,
    paceMs: options.paceMs,
    longestMs: options.longestMs,
    forMs: options.forMs,
    arrivedSince: (time) => heardSince(listenerDb, time),
    isOver: () => load.hasEnded,
    said: (f, fault) => {
      recorder.write({ f, fault })
      if (f !== 'healed') return
      const times = ++healed
      killing = killing.then(() => killSome(times))
      killing.catch(() => {})
    },
    log,
  })
  await killing
  const endedEarly = load.hasEnded
  load.say('enough')
  log('no more faults: the town comes to rest, and is compared')
  const code = await load.ended
  const comparison = await heardOfAll(townDb, listenerDb, options)
  await listeners.stop()
  return {
    ...broken,
    ...comparison,
    transport,
    seed,
    seconds: Math.round((Date.now() - startedAt) / 1_000),
    version,
    server: await serverOf(townDb, dsn === undefined),
    broker: broker.title,
    kills: listeners.kills + killsOf(load.output),
    crashes: listeners.crashes,
    code: endedEarly && code === 0 ? 1 : code,
    // Logs go to standard output as well; the report comes last.
    output: withoutLogs(load.output),
    complaints: load.complaints,
  }
}

/** Is there anything that must not be? */
export function communityFailed(report: CommunityReport): boolean {
  const { code, lost, heardTwice, phantoms, crashes, stuck, healings } = report
  if (code !== 0 || healings.length === 0 || report.happened < 100) return true
  return [lost, heardTwice, phantoms, crashes, stuck].some((list) => list.length > 0)
}

async function heardSince(db: pg.Client, time: number): Promise<boolean> {
  const { rows } = await db.query<{ yes: boolean }>(
    'select exists (select from chaos_heard where happened > $1) as yes',
    [new Date(time)],
  )
  return rows[0]?.yes === true
}

/** Waits until the listener heard of all that is in the log of the community, which says nothing any more. */
async function heardOfAll(
  town: pg.Client,
  listener: pg.Client,
  { drainMs, log }: CommunityOptions,
): Promise<Pick<CommunityReport, 'happened' | 'lost' | 'heardTwice' | 'phantoms'>> {
  const source = await one(town, `select v as id from sluice.meta where k = 'events.source'`)
  const log_ = await ids(town, `select $1 || '-' || id as id from sluice.event`, [source])
  const happened = new Set(log_)
  for (const until = Date.now() + drainMs; ; await sleep(LOOK_MS)) {
    const heard = await ids(listener, 'select id from chaos_heard')
    const known = new Set(heard)
    const lost = log_.filter((id) => !known.has(id))
    if (lost.length > 0 && Date.now() < until) continue
    if (lost.length > 0) log(`${lost.length} were not heard of after ${drainMs / 1_000} s`)
    return {
      happened: log_.length,
      lost,
      heardTwice: await ids(listener, 'select id from chaos_heard group by id having count(*) > 1'),
      phantoms: [...known].filter((id) => !happened.has(id)),
    }
  }
}

async function ids(db: pg.Client, sql: string, values: unknown[] = []): Promise<readonly string[]> {
  const { rows } = await db.query<{ id: string }>(sql, values)
  return rows.map(({ id }) => id)
}

async function one(db: pg.Client, sql: string): Promise<string> {
  return (await ids(db, sql))[0] ?? ''
}

function withoutLogs(output: string): string {
  return output
    .split('\n')
    .filter((line) => !line.startsWith('{"level"'))
    .join('\n')
}

function killsOf(output: string): number {
  return Number(/processes killed: (\d+)/.exec(output)?.[1] ?? 0)
}
