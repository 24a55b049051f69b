/**
 * Jobs that wait though nobody handles them: no process works on their queue, or those that do have no handler of the
 * name. Nothing fails then, so that nobody would hear of it: it is looked for twice a minute, told in the log once a
 * name, and shown by `status` and as a metric until somebody handles them or they are gone.
 *
 * Each process writes down in its row of sluice.worker what it handles; that of a dead one counts no longer.
 */
import type { Timer } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import { STATEMENT_TIMEOUT_MS } from '../engine/database.ts'
import type { Engine } from '../engine/engine.ts'
import { OFFERED } from '../engine/tasks/keyed-offers.ts'
import { IS_JOBS } from '../engine/tasks/lone.ts'
import type { Logger } from '../telemetry/log.ts'

export interface UnhandledJobs {
  readonly queue: string
  readonly job: string
  /** Those that were seen, at most a few thousand a queue. */
  readonly waiting: number
  readonly oldestMs: number
  /** A process works on the queue, without a handler of this name. */
  readonly queueIsRead: boolean
}

export interface UnhandledOptions {
  readonly engine: Engine
  readonly log: Logger
  readonly component: string
  /** Names of the jobs handled here, by queue. */
  readonly handled: () => Readonly<Record<string, readonly string[]>>
  /** Jobs that are younger are not looked at: a process may be about to start. @default 30000 */
  readonly graceMs?: number
}

const EVERY_MS = 30_000
const FIRST_MS = 10_000
const GRACE_MS = 30_000
const MAX_QUEUES = 200
/** Of each priority of a queue. */
const MAX_ROWS = 50
/** With keys, that who reads them has no handler for: of each queue. */
const MAX_OFFERED = 5_000
const MAX_NAMES = 50
const CALL = { idempotent: true, timeout: STATEMENT_TIMEOUT_MS } as const

/** in: $1 worker, $2 component, $3 names by queue · effect: all may read what the process handles */
const ANNOUNCE = `
update sluice.worker set info = jsonb_set(info, '{jobs}', coalesce(info -> 'jobs', '{}') || jsonb_build_object($2::text, $3::jsonb))
where id = $1::bigint`

/**
 * in: $1 milliseconds
 * out: one row a name that has waited for so long and that no live process handles
 *
 * One that a process gave back because it has no handler for it is due somewhat later: within five minutes. Those with
 * keys are offered then, which finds them behind any number of those that are handled.
 */
const LOOK = `
with handled as materialized (
  select distinct j.queue, n.name from sluice.worker w
  cross join lateral jsonb_each(coalesce(w.info -> 'jobs', '{}')) as c(component, queues)
  cross join lateral jsonb_each(c.queues) as j(queue, names)
  cross join lateral jsonb_array_elements_text(j.names) as n(name)
  where w.dead_at is null),
waiting as (
  select distinct q.name as queue, coalesce(t.name, q.name) as job, t.made, t.id
  from (select id, name from sluice.queue q where ${IS_JOBS} and paused_at is null order by id limit ${MAX_QUEUES}) q
  cross join lateral (
    select x.id, x.name, x.made from generate_series(0, 9) as p(prio) cross join lateral (
      select id, name, made from sluice.task where queue = q.id and prio = p.prio::smallint and owner is null and key is null
        and run_at < clock_timestamp() + interval '5 minutes' order by run_at, id limit ${MAX_ROWS}) x
    union all
    (select id, name, made from sluice.task where queue = q.id and key is not null and owner is null
      and run_at < clock_timestamp() + interval '5 minutes' limit ${MAX_ROWS})
    union all
    (select id, name, made from sluice.task where queue = q.id and key is not null and owner is null
      and shard ${OFFERED} limit ${MAX_OFFERED})) t
  where t.made < clock_timestamp() - $1::float8 * interval '1 ms')
select queue, job, count(*)::int as waiting,
  round(extract(epoch from clock_timestamp() - min(made)) * 1000)::float8 as "oldestMs",
  exists (select from handled h where h.queue = w.queue) as "queueIsRead"
from waiting w where not exists (select from handled h where h.queue = w.queue and h.name = w.job)
group by queue, job order by queue, job limit ${MAX_NAMES}`

export class Unhandled {
  readonly #options: UnhandledOptions
  #current: readonly UnhandledJobs[] = []
  #timer: Timer | undefined
  #offLease: (() => void) | undefined
  #looking: Promise<unknown> | undefined
  /** What it handles was not written down yet. */
  #isStale = true
  #writing: Promise<void> | undefined

  constructor(options: UnhandledOptions) {
    this.#options = options
  }

  /** As last seen. */
  get current(): readonly UnhandledJobs[] {
    return this.#current
  }

  start(): void {
    this.#offLease ??= this.#options.engine.worker.onLease(() => this.announce())
    this.#later(FIRST_MS)
  }

  async stop(): Promise<void> {
    this.#offLease?.()
    this.#offLease = () => {}
    this.#timer?.cancel()
    this.#timer = undefined
    await this.#looking
    await this.#writing
  }

  /** What is handled here has changed, or the process has another row. */
  announce(): void {
    this.#isStale = true
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  /** Looks now. */
  async look(): Promise<readonly UnhandledJobs[]> {
    const { engine, log, graceMs = GRACE_MS } = this.#options
    const found = await engine.db.query<UnhandledJobs>(LOOK, [graceMs], {
      ...CALL,
      label: 'sluice.unhandled',
    })
    const known = new Set(this.#current.map(textOf))
    for (const jobs of found) {
      if (known.has(textOf(jobs))) continue
      const what = jobs.queueIsRead
        ? 'no process has a handler of that name'
        : 'no process works on their queue'
      log.warn({ ...jobs }, `jobs called "${jobs.job}" wait, and ${what}`)
    }
    this.#current = found
    return found
  }

  async #write(): Promise<void> {
    const { engine, component, handled, log } = this.#options
    // Handlers of one moment are written at once.
    await Promise.resolve()
    while (this.#isStale) {
      const { lease } = engine.worker
      if (lease === undefined) return
      this.#isStale = false
      try {
        const values = [lease.id, component, JSON.stringify(handled())]
        await engine.db.execute(ANNOUNCE, values, { ...CALL, label: 'sluice.handled' })
      } catch (error) {
        this.#isStale = true
        if (!lease.signal.aborted)
          log.debug({ err: toError(error) }, 'what is handled here was not written down')
        return
      }
    }
  }

  #later(ms: number): void {
    const { clock, random } = this.#options.engine
    this.#timer = clock.setTimer(() => void (this.#looking = this.#round()), ms * (0.8 + 0.4 * random()), {
      keepAlive: false,
    })
  }

  async #round(): Promise<void> {
    try {
      if (this.#isStale) this.announce()
      await this.#writing
      await this.look()
    } catch (error) {
      this.#options.log.debug({ err: toError(error) }, 'jobs that nobody handles could not be looked for')
    }
    if (this.#timer !== undefined) this.#later(EVERY_MS)
  }
}

function textOf({ queue, job, queueIsRead }: UnhandledJobs): string {
  return JSON.stringify([queue, job, queueIsRead])
}
