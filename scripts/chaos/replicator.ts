/**
 * One chaos run of the replicator: a source, a Redis server and replicators that take over from each other, all of them
 * broken at random, round after round; at the end of each round silence, and the store must be what the source says.
 *
 * Each round has a seed of its own, `seed + round`. What is compared is read from Redis itself: every entity, every
 * other name, and nothing besides.
 */
import { SourceServer } from '../../examples/replicator/source/server.ts'
import { StreamLog, type Data } from '../../examples/replicator/source/stream-log.ts'
import { replicaKeys, type ReplicatorStats } from '../../src/replicator/index.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { pause, Store, STORE_FAULTS } from './replicator-store.ts'
import { Workers } from './replicator-workers.ts'

export interface ReplicatorChaosOptions {
  readonly seed: number
  /** Rounds at least. */
  readonly rounds: number
  /** It goes on until so many processes were killed. */
  readonly kills: number
  /** Replicators at once. */
  readonly workers: number
  /** How the sink calls its units: 'auto', 'function', 'script' or 'single'. */
  readonly run: string
  readonly log: (text: string) => void
}

export interface ReplicatorChaosReport {
  readonly seed: number
  readonly rounds: number
  readonly seconds: number
  readonly kills: number
  readonly freezes: number
  readonly stops: number
  /** By kind: what befell the store and the source. */
  readonly faults: Readonly<Record<string, number>>
  readonly moments: Readonly<Record<string, number>>
  readonly messages: number
  /** Keys compared, over all rounds. */
  readonly compared: number
  /** Differences between store and source, with the seed of their round. */
  readonly wrong: readonly string[]
  /** Counters that do not add up, or that say that something was dropped. */
  readonly miscounted: readonly string[]
  /** Rounds that did not come to rest in time. */
  readonly restless: readonly string[]
  readonly crashes: readonly string[]
  /** From the end of the faults of a round until all was stored, in milliseconds. */
  readonly recoveryMs: { readonly p50: number; readonly p99: number; readonly max: number }
}

const PLURALS = { company: 'companies', user: 'users', flag: 'flags' } as const
const LANES = Object.keys(PLURALS) as readonly (keyof typeof PLURALS)[]
const KEYS = 40
const STEPS = 14
/** So few messages are kept that a replicator that was away is told to load anew. */
const KEPT = 400
const REST_LIMIT_MS = 120_000
/** A recovery that takes longer is shown. */
const SLOW_MS = 4_000
const SOURCE_FAULTS = ['disconnect', 'forget', 'refuse', 'garbage', 'reload'] as const
const WORKER_FAULTS = ['kill', 'kill', 'kill', 'freeze', 'stop'] as const

export async function runReplicatorChaos(options: ReplicatorChaosOptions): Promise<ReplicatorChaosReport> {
  const startedAt = performance.now()
  const log = new StreamLog(PLURALS, KEPT, 1_000)
  await using source = await SourceServer.start({ log, heartbeatMs: 50 })
  await using store = await Store.start()
  let random = seededRandom(options.seed)
  const workers = new Workers({
    size: options.workers,
    random: () => random(),
    env: {
      CHAOS_SOURCE: source.url,
      CHAOS_BULK: source.bulkUrl,
      CHAOS_REDIS: store.server.addr,
      CHAOS_RUN: options.run,
    },
  })
  const faults: Record<string, number> = {}
  const count = (name: string): void => void (faults[name] = (faults[name] ?? 0) + 1)
  const wrong: string[] = []
  const restless: string[] = []
  const miscounted: string[] = []
  const recoveries: number[] = []
  let compared = 0
  let round = 0
  try {
    for (; round < options.rounds || workers.kills < options.kills; round++) {
      const seed = options.seed + round
      random = seededRandom(seed)
      workers.calm = false
      workers.start()
      for (let step = 0; step < STEPS; step++) {
        emit(log, random)
        source.pump()
        await pause(random() * 30)
        if (random() < 0.5) await strike({ source, store, workers, log, random, count })
      }
      source.refusing = false
      await workers.settle()
      touch(log, random)
      const healedAt = performance.now()
      const isAtRest = await rest(workers, source, (text) => options.log(`seed ${seed}: ${text}`))
      recoveries.push(performance.now() - healedAt)
      if (!isAtRest) {
        restless.push(`seed ${seed}: ${JSON.stringify(await workers.stats())}`)
        break
      }
      const differences = await compare(store, log)
      compared += differences.compared
      wrong.push(...differences.wrong.map((text) => `seed ${seed}: ${text}`))
      for (const stats of await workers.stats()) miscounted.push(...misfits(stats, `seed ${seed}`))
      if ((round + 1) % 10 === 0)
        options.log(
          `${round + 1} rounds, ${workers.kills} kills, ${compared} keys compared, ${wrong.length} wrong`,
        )
      if (wrong.length > 0) break
    }
  } finally {
    await workers.stop()
  }
  for (const stats of workers.finals) miscounted.push(...misfits(stats, 'stopped'))
  return {
    seed: options.seed,
    rounds: round,
    seconds: Math.round((performance.now() - startedAt) / 1_000),
    kills: workers.kills,
    freezes: workers.freezes,
    stops: workers.stops,
    faults,
    moments: Object.fromEntries(workers.moments),
    messages: log.end,
    compared,
    wrong,
    miscounted,
    restless,
    crashes: workers.crashes,
    recoveryMs: spread(recoveries),
  }
}

/** Did it prove what it was to prove? */
export function replicatorFailed(report: ReplicatorChaosReport): boolean {
  const { wrong, miscounted, restless, crashes, compared, kills } = report
  const isBad = [wrong, miscounted, restless, crashes].some((list) => list.length > 0)
  return isBad || compared === 0 || kills + Object.keys(report.faults).length === 0
}

interface Scene {
  readonly source: SourceServer
  readonly store: Store
  readonly workers: Workers
  readonly log: StreamLog
  readonly random: () => number
  readonly count: (name: string) => void
}

async function strike({ source, store, workers, log, random, count }: Scene): Promise<void> {
  const ms = 20 + random() * 300
  const which = random()
  if (which < 0.35) {
    const fault = pick(random, WORKER_FAULTS)
    // Longer than the lease, so that another takes over.
    await workers.strike(fault, 600 + random() * 400)
  } else if (which < 0.7) {
    const fault = pick(random, STORE_FAULTS)
    count(`store.${fault}`)
    const healed = store.strike(fault, ms)
    // The stream goes on meanwhile.
    for (let at = 0; at < 3; at++) {
      await pause(ms / 4)
      emit(log, random)
      source.pump()
    }
    await healed
  } else {
    const fault = pick(random, SOURCE_FAULTS)
    count(`source.${fault}`)
    if (fault === 'disconnect') source.disconnect()
    else if (fault === 'forget' || fault === 'reload') {
      // Who was cut off now, or lags behind, cannot go on from where it was.
      if (fault === 'forget') source.disconnect()
      log.forget()
    } else if (fault === 'garbage') {
      log.garbage(pick(random, LANES), '{"entity_type":"user","data":', log.last.ms + 1)
    } else {
      source.refusing = true
      source.disconnect()
      await pause(ms)
      source.refusing = false
    }
  }
}

/**
 * One message a lane. A store that went back in time may not have been noticed yet by those whose last messages were
 * stored before; what is written now goes through the fence of each lane, which does.
 */
function touch(log: StreamLog, random: () => number): void {
  for (const lane of LANES)
    log.change(lane, 'full', `${lane}-0`, entity(`${lane}-0`, random), log.last.ms + 1)
}

/** Some messages of every kind. */
function emit(log: StreamLog, random: () => number): void {
  for (let left = 3 + Math.floor(random() * 25); left > 0; left--) {
    const lane = pick(random, LANES)
    const id = `${lane}-${Math.floor(random() * random() * KEYS)}`
    const ms = log.last.ms + (random() < 0.7 ? 0 : Math.floor(random() * 15))
    const kind = random()
    if (kind < 0.08) {
      const some = new Set(Array.from({ length: 4 }, () => `${lane}-${Math.floor(random() * KEYS)}`))
      log.changeMany(
        lane,
        [...some].map((each) => ({ id: each, data: entity(each, random) })),
        ms,
      )
    } else if (kind < 0.2) log.change(lane, 'delete', id, {}, ms)
    else if (kind < 0.55) log.change(lane, 'full', id, entity(id, random), ms)
    else log.change(lane, 'partial', id, part(id, random), ms)
  }
}

function entity(id: string, random: () => number): Data {
  return {
    n: Math.floor(random() * 1_000_000),
    none: {},
    empty: [],
    text: 'ü"\\\n'.repeat(Math.floor(random() * 5)),
    ...(random() < 0.7 ? { keys: names(id, random) } : {}),
  }
}

function part(id: string, random: () => number): Data {
  const fields: Data[] = [
    { n: Math.floor(random() * 1_000_000) },
    { [`f${Math.floor(random() * 4)}`]: random() < 0.3 ? null : [random()] },
    { keys: random() < 0.2 ? null : names(id, random) },
    { text: null, deep: { a: { b: Math.floor(random() * 9) } } },
  ]
  return pick(random, fields)
}

/** Of one entity for ever: who is found under a name does not hang on who claimed it first. */
const names = (id: string, random: () => number): Data => ({
  mail: `${id}@${Math.floor(random() * 3)}`,
  ...(random() < 0.5 ? { nick: `${id}!` } : {}),
})

/** Until one that is ready has stored everything. */
async function rest(workers: Workers, source: SourceServer, say: (text: string) => void): Promise<boolean> {
  let sayAt = performance.now() + SLOW_MS
  const { ms, seq } = source.log.last
  const last = `${ms}-${seq}`
  for (const until = performance.now() + REST_LIMIT_MS; performance.now() < until;) {
    source.pump()
    const all = await workers.stats()
    if (all.some(({ role, ready, cursor }) => role === 'active' && ready && cursor === last)) return true
    if (performance.now() > sayAt) {
      sayAt += SLOW_MS
      const why = all.map(({ role, notReady, live, cursor, breaker, lagMs }) => [
        role,
        notReady,
        live,
        cursor,
        breaker,
        lagMs,
      ])
      say(`waiting for ${last}: ${JSON.stringify(why)}`)
    }
    await pause(20)
  }
  return false
}

async function compare(
  store: Store,
  log: StreamLog,
): Promise<{ readonly compared: number; readonly wrong: readonly string[] }> {
  const keys = replicaKeys({ name: 'chaos' })
  const wrong: string[] = []
  let compared = 0
  for (const lane of LANES) {
    const { entities, lookups } = await store.contents(keys.base(lane))
    const expected = new Map<string, string>()
    for (const [id, data] of log.lanes.get(lane)!.byId) {
      compared += 1
      const text = entities.get(id)
      entities.delete(id)
      const is = text === undefined ? undefined : canonical(JSON.parse(text) as Data)
      const shall = data === undefined ? undefined : canonical(data)
      if (is !== shall) wrong.push(`${lane} ${id} is ${is}, shall be ${shall}`)
      for (const [key, value] of Object.entries((data?.['keys'] ?? {}) as Data))
        expected.set(`${key}:${String(value)}`, id)
    }
    for (const id of entities.keys()) wrong.push(`${lane} ${id} is stored and not in the source`)
    for (const name of new Set([...expected.keys(), ...lookups.keys()])) {
      compared += 1
      const [is, shall] = [lookups.get(name), expected.get(name)]
      if (is !== shall) wrong.push(`${lane} ${name} leads to ${is}, shall to ${shall}`)
    }
  }
  return { compared, wrong }
}

/** Each message ended in exactly one way. */
function misfits(stats: ReplicatorStats, where: string): readonly string[] {
  return Object.entries(stats.lanes).flatMap(([name, lane]) => {
    const { received, processed, skipped, dead, returned, pending, dropped } = lane
    const faults: string[] = []
    if (dropped !== 0) faults.push(`${where}: ${name} dropped ${dropped}`)
    const ended = processed + skipped + dead + returned
    // What waits stands for any number of messages.
    if (pending === 0 && received !== ended)
      faults.push(
        `${where}: ${name} received ${received}, of which ${ended} have ended: ${JSON.stringify(lane)}`,
      )
    return faults
  })
}

function canonical(data: Data): string {
  return JSON.stringify(Object.fromEntries(Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1))))
}

function spread(values: readonly number[]): ReplicatorChaosReport['recoveryMs'] {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): number => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0)
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

function pick<T>(random: () => number, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T
}
