/** Deliveries that are tasks: what a subscription could not deliver yet, and shards that stand in front of an event. */
import type { EngineDatabase } from '../database.ts'
import type { TaskError } from '../tasks/task.ts'

export interface WaitingTask {
  readonly id: string
  readonly subscription: string
  readonly topic: string
  readonly state: WaitingTaskState
  readonly attempt: number
  readonly maxAttempts: number
  /** Milliseconds since 1970. */
  readonly due: number
  readonly body: string | null
  readonly head: string | null
  readonly errs: readonly TaskError[] | null
}

export type WaitingTaskState = 'waiting' | 'due' | 'running' | 'behind'

export interface WaitingTaskFilter {
  readonly subscription: string | null
  readonly ids: readonly string[] | null
  readonly state: string | null
  /** Only ids above this one. */
  readonly after: string | null
  readonly limit: number
}

/** Those of a key that is kept in order have no owner in the table: whether one of them runs is known to its shard alone. */
const STATE = `case when t.owner is not null then 'running'
  when t.key is not null and not exists (select from heads h where h.id = t.id) then 'behind'
  when t.run_at > clock_timestamp() then 'waiting' else 'due' end`

/** in: $1 subscription, $2 ids, $3 state, $4 above this id, $5 limit · out: the oldest first */
const LIST = `
with heads as materialized (
  select distinct on (t.queue, t.shard, t.key) t.id from sluice.sub s join sluice.task t on t.queue = s.queue
  where t.key is not null and ($1::text is null or s.name = $1) order by t.queue, t.shard, t.key, t.id)
select * from (
  select t.id, s.name as subscription, t.name as topic, ${STATE} as state, t.attempt, t.max_attempt as "maxAttempts",
    extract(epoch from t.run_at)::float8 * 1000 as due, t.body, t.head, t.errs
  from sluice.sub s join sluice.task t on t.queue = s.queue
  where ($1::text is null or s.name = $1) and ($2::bigint[] is null or t.id = any($2))
    and ($4::bigint is null or t.id > $4)) w
where $3::text is null or state = $3 order by id limit $5`

export function listWaiting(db: EngineDatabase, filter: WaitingTaskFilter): Promise<readonly WaitingTask[]> {
  const { subscription, ids, state, after, limit } = filter
  return db.query<WaitingTask>(LIST, [subscription, ids, state, after, limit], {
    label: 'sluice.waiting.list',
    idempotent: true,
  })
}

/**
 * in: $1 subscription, $2 ids, $3 limit
 * out: queue of each
 * effect: those that wait for their time are due; what runs, or is behind another of its key, is left alone
 */
const HURRY = `
with c as materialized (
  select t.id from sluice.sub s join sluice.task t on t.queue = s.queue
  where ($1::text is null or s.name = $1) and ($2::bigint[] is null or t.id = any($2))
    and t.owner is null and t.run_at > clock_timestamp()
  order by t.run_at, t.id limit $3 for update of t skip locked)
update sluice.task t set run_at = clock_timestamp() from c where t.id = c.id returning t.queue`

export function hurryWaiting(
  db: EngineDatabase,
  filter: Pick<WaitingTaskFilter, 'subscription' | 'ids' | 'limit'>,
): Promise<readonly { readonly queue: number }[]> {
  const { subscription, ids, limit } = filter
  return db.query(HURRY, [subscription, ids, limit], { label: 'sluice.waiting.hurry', idempotent: true })
}

/** A shard that goes on only when this event is delivered, as its process tells of it. */
export interface Stand {
  readonly subscription: string
  readonly shard: number
  readonly topic: string
  readonly event: string
  readonly key: string | null
  readonly attempt: number
  readonly error: string
  /** How long it has stood, when it was told. */
  readonly ms: number
}

export interface ToldStand extends Omit<Stand, 'ms'> {
  /** Name of the process, with host and process id. */
  readonly process: string
  /** Milliseconds since 1970. */
  readonly since: number
}

/** in: $1 subscription · out: those that live processes tell of (announceReaders), and who does */
const STANDS = `
select w.name as process, s.subscription, s.shard, s.topic, s.event, s.key, s.attempt, s.error,
  extract(epoch from (c.told ->> 'at')::timestamptz)::float8 * 1000 - s.ms as since
from sluice.worker w cross join lateral jsonb_each(coalesce(w.info -> 'stands', '{}')) c(component, told)
cross join lateral jsonb_to_recordset(c.told -> 'list') as s(subscription text, shard int, topic text, event text,
  key text, attempt int, error text, ms float8)
where w.dead_at is null and ($1::text is null or s.subscription = $1)
order by s.subscription, s.shard, s.event limit 10000`

export function listStands(db: EngineDatabase, subscription: string | null): Promise<readonly ToldStand[]> {
  return db.query(STANDS, [subscription], { label: 'sluice.stands', idempotent: true })
}
