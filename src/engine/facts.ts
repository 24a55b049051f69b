/**
 * What the engine looks like from the database: read in the background, a few times a minute, so that neither a scrape
 * nor a probe waits for a query. Counts stop at 10,000 a queue: beyond that it is the age that tells.
 */
import type { Clock, Timer } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import type { GaugeCell, Metrics } from '../telemetry/metric.ts'
import type { EngineDatabase } from './database.ts'
import { HorizonWatch, type Horizon } from './horizon.ts'

export interface QueueFacts {
  readonly queue: string
  readonly ready: number
  readonly scheduled: number
  readonly running: number
  readonly dead: number
  /** Since the oldest ready task was due; 0 without one. */
  readonly oldestReadyMs: number
}

export interface EngineFacts {
  /** Those with something in them, at most 200. */
  readonly queues: readonly QueueFacts[]
  /** Alive, in all processes. */
  readonly workers: number
  /** Since the oldest transaction that is still open began: until it ends the server clears nothing away. */
  readonly xminAgeMs: number
}

const EVERY_MS = 15_000
const XMIN_WARN_MS = 300_000
const MAX_COUNT = 10_000
const MAX_QUEUES = 200
const MAX_RUNNING = 50_000
const LIMIT = '5s'
const PRIORITIES = `'{0,1,2,3,4,5,6,7,8,9}'::smallint[]`

/** Not in an open lot. In words that do not depend on the row of the queue, so that the ids are hashed once. */
const NOT_TAKEN = '(attempt > 0 or id not in (select id from open))'

/** out: queue, ready, scheduled, running, dead, oldestReadyMs */
export const QUEUE_FACTS = `
with open as materialized (select unnest(ids) as id from sluice.lot),
lot as materialized (
  select t.queue, count(*)::int as n from open join sluice.task t on t.id = open.id
  where t.attempt = 0 and t.owner is null group by t.queue),
running as materialized (
  select queue, sum(n)::int as n from (
    select queue, count(*)::int as n from (
      select queue from sluice.task where owner is not null limit ${MAX_RUNNING}) r group by queue
    union all select queue, n from lot) r group by queue)
select q.name as queue, (p.ready + k.ready)::int as ready, (p.scheduled + k.scheduled)::int as scheduled,
  coalesce(r.n, 0) as running, d.dead::int as dead,
  greatest(0, extract(epoch from clock_timestamp() - least(p.oldest, k.oldest)) * 1000)::float8 as "oldestReadyMs"
from (select id, name from sluice.queue order by id limit ${MAX_QUEUES}) q
left join running r on r.queue = q.id
cross join lateral (
  select (select count(*) from (select from sluice.task where queue = q.id and prio = any(${PRIORITIES}) and owner is null
      and key is null and run_at <= clock_timestamp() and ${NOT_TAKEN} limit ${MAX_COUNT}) x) as ready,
    (select count(*) from (select from sluice.task where queue = q.id and prio = any(${PRIORITIES}) and owner is null
      and key is null and run_at > clock_timestamp() limit ${MAX_COUNT}) x) as scheduled,
    (select min(o.run_at) from unnest(${PRIORITIES}) as u(prio) cross join lateral (
      select run_at from sluice.task where queue = q.id and prio = u.prio and owner is null and key is null
        and run_at <= clock_timestamp() and ${NOT_TAKEN} order by run_at limit 1) o) as oldest) p
cross join lateral (
  select count(*) filter (where run_at <= clock_timestamp()) as ready,
    count(*) filter (where run_at > clock_timestamp()) as scheduled, min(run_at) filter (where run_at <= clock_timestamp()) as oldest
  from (select run_at, owner from sluice.task where queue = q.id and key is not null limit ${MAX_COUNT}) x
  where owner is null) k
cross join lateral (
  select count(*) as dead from (select from sluice.dead where queue = q.id limit ${MAX_COUNT}) x) d
where p.ready + k.ready + p.scheduled + k.scheduled + coalesce(r.n, 0) + d.dead > 0`

/** out: one row: workers */
const WORKERS = 'select count(*)::int as workers from sluice.worker where dead_at is null'

export interface FactsOptions {
  readonly db: EngineDatabase
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  /** Of this process's heartbeat. */
  readonly beatAgeMs: () => number | undefined
  /** A transaction that is open for longer is warned of, once. @default 5 minutes */
  readonly xminWarnMs?: number
}

const COUNTS = ['ready', 'scheduled', 'running', 'dead'] as const

export class Facts {
  readonly #options: FactsOptions
  readonly #gauges: Readonly<Record<(typeof COUNTS)[number] | 'oldest', (queue: string) => GaugeCell>>
  readonly #horizon: HorizonWatch
  #shown = new Set<string>()
  #current: EngineFacts | undefined
  #timer: Timer | undefined
  #reading: Promise<void> | undefined
  #unobserve: readonly (() => void)[] = []
  #warned = false
  #isOpen = false

  constructor(options: FactsOptions) {
    this.#options = options
    this.#horizon = new HorizonWatch(options.clock)
    const { metrics, db } = options
    const gauge = (name: string, help: string): ((queue: string) => GaugeCell) => {
      const family = metrics.gauge(`sluice_engine_${name}`, help)
      return (queue) => family.with({ component: db.name, queue })
    }
    this.#gauges = {
      ready: gauge('ready_tasks', `Tasks that could start now, up to ${MAX_COUNT}.`),
      scheduled: gauge('scheduled_tasks', `Tasks that are due later, up to ${MAX_COUNT}.`),
      running: gauge('running_tasks', 'Tasks that a worker holds.'),
      dead: gauge('dead_tasks', `Dead letters, up to ${MAX_COUNT}.`),
      oldest: gauge('oldest_ready_seconds', 'Since the oldest ready task was due.'),
    }
  }

  /** As last read; undefined before the first time. */
  get current(): EngineFacts | undefined {
    return this.#current
  }

  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    const { metrics, db, beatAgeMs } = this.#options
    const labels = { component: db.name }
    const observe = (name: string, help: string, read: () => number): (() => void) =>
      metrics.observe(`sluice_engine_${name}`, help, labels, read)
    this.#unobserve = [
      observe(
        'heartbeat_age_seconds',
        'Since the heartbeat of this process.',
        () => (beatAgeMs() ?? 0) / 1_000,
      ),
      observe('workers', 'Workers that are alive, in all processes.', () => this.#current?.workers ?? 0),
      observe(
        'xmin_age_seconds',
        'Since the oldest open transaction began.',
        () => (this.#current?.xminAgeMs ?? 0) / 1_000,
      ),
    ]
    this.#later(1_000)
  }

  async close(): Promise<void> {
    this.#isOpen = false
    this.#timer?.cancel()
    for (const off of this.#unobserve) off()
    await this.#reading
  }

  #later(ms: number): void {
    if (!this.#isOpen) return
    const { clock, random } = this.#options
    this.#timer = clock.setTimer(
      () => {
        this.#reading = this.#readQuietly().finally(() => this.#later(EVERY_MS))
      },
      ms * (0.8 + 0.4 * random()),
      { keepAlive: false },
    )
  }

  async #readQuietly(): Promise<void> {
    try {
      await this.read()
    } catch (error) {
      this.#options.log.debug({ err: toError(error) }, 'facts of the engine could not be read')
    }
  }

  /** Reads them now. */
  async read(): Promise<EngineFacts> {
    const { db } = this.#options
    const call = { label: 'sluice.facts', timeout: LIMIT, idempotent: true } as const
    const { workers = 0 } = (await db.queryOne<{ workers: number }>(WORKERS, [], call)) ?? {}
    const horizon = await this.#horizon.read(db, call)
    const queues = await db.query<QueueFacts>(QUEUE_FACTS, [], call)
    this.#current = { queues, workers, xminAgeMs: horizon.ageMs }
    this.#show(queues)
    this.#warn(horizon)
    return this.#current
  }

  #show(queues: readonly QueueFacts[]): void {
    const shown = new Set(queues.map(({ queue }) => queue))
    // Of a queue that is empty by now there is no row.
    for (const queue of this.#shown) {
      if (!shown.has(queue)) for (const cell of Object.values(this.#gauges)) cell(queue).set(0)
    }
    for (const facts of queues) {
      for (const name of COUNTS) this.#gauges[name](facts.queue).set(facts[name])
      this.#gauges.oldest(facts.queue).set(facts.oldestReadyMs / 1_000)
    }
    this.#shown = shown
  }

  #warn({ ageMs, pid, app }: Horizon): void {
    const isOld = ageMs > (this.#options.xminWarnMs ?? XMIN_WARN_MS)
    if (isOld && !this.#warned) {
      this.#options.log.warn(
        { durationMs: Math.round(ageMs), pid, app },
        'a transaction has been open for long: until it ends the server clears away nothing that was done',
      )
    }
    this.#warned = isOld
  }
}
