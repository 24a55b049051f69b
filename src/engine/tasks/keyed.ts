/**
 * Tasks with a key: those of one key run one at a time, in the order of their ids. A key belongs to a shard, a shard to
 * one worker (engine/leases.ts), and that worker keeps the order in its memory; the database keeps it honest:
 *
 * - A task is claimed by its id, under the lease of its shard: a claim by someone who lost the lease takes nothing.
 * - It has an owner and counts its attempt from the claim on, as every task: what is claimed, cancelled, freed after a
 *   crash or dead is so for all to see, and ends are guarded in the same way.
 * - A task that still has an owner is not claimed again, whoever that is, and its key waits for it.
 * - One that the owner of its shard has no handler for is offered to the others (tasks/keyed-offers.ts).
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { HELD, SIZE_OF, withinBytes } from './claim-sql.ts'
import type { HeldTask } from './task.ts'
import { UNIQ_AT_CLAIM } from './unique-name.ts'

/**
 * Compared and ordered as rows, which the index of tasks with keys alone is in the order of. Compared one by one with what
 * they are equal to, queue and shard fall out of the order, and the planner may walk the primary key instead: past
 * every task behind, of all queues.
 */
const BY_SHARD = 't.queue, t.shard, t.id'
const IN_ORDER = `(${BY_SHARD})`

/** Shards of a keyed queue. Lasting: tasks are stored with the number of their shard. */
export const KEY_SHARDS = 8

const CALL = { timeout: STATEMENT_TIMEOUT_MS } as const

/** The shard of a key: the 32-bit FNV-1a of its UTF-8 bytes, modulo the shards. Never to be changed. */
export function keyShard(key: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(key)) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0) % KEY_SHARDS
}

/** in: $1 queue · out: one row where it has tasks with keys */
export const HAS_KEYED =
  'select 1 from sluice.task where queue = $1 and key is not null order by queue, shard, id limit 1'

export async function hasKeyed(db: EngineDatabase, queue: number): Promise<boolean> {
  const row = await db.queryOne(HAS_KEYED, [queue], {
    ...CALL,
    idempotent: true,
    label: 'sluice.keyed.any',
  })
  return row !== undefined
}

/** One to be claimed, with the lease that it is claimed under. */
export interface KeyedClaim {
  readonly id: string
  readonly shard: number
  readonly epoch: string
}

/**
 * in: $1 queue, $2 worker, $3 ids, $4 their shards, $5 the epochs of those
 * out: the tasks, in no order; fewer where they are large, the first ones then
 * effect: their owner and attempt
 */
export const CLAIM_KEYED = `
with c as materialized (
  select t.id, a.n, ${SIZE_OF('t')}
    from unnest($3::bigint[], $4::smallint[], $5::bigint[]) with ordinality as a(id, shard, epoch, n)
    join sluice.task t on t.id = a.id and t.shard = a.shard
    join sluice.lease l on l.kind = 'q' and l.ref = $1 and l.shard = a.shard and l.owner = $2 and l.epoch = a.epoch
  where t.queue = $1 and t.owner is null and t.run_at <= (select clock_timestamp())
    and exists (select from sluice.worker where id = $2 and dead_at is null)
    and not exists (select from sluice.queue where id = $1 and paused_at is not null)
  for update of t skip locked)
update sluice.task t set owner = $2, attempt = t.attempt + 1, uniq = ${UNIQ_AT_CLAIM}
where t.id = any(${withinBytes('c.n')})
returning ${HELD}`

/** Those of the tasks that are the worker's now, in the order asked for. */
export async function claimKeyed(
  db: EngineDatabase,
  queue: number,
  worker: string,
  claims: readonly KeyedClaim[],
): Promise<HeldTask[]> {
  const rows = await db.query<HeldTask>(
    CLAIM_KEYED,
    [
      queue,
      worker,
      claims.map(({ id }) => id),
      claims.map(({ shard }) => shard),
      claims.map(({ epoch }) => epoch),
    ],
    { ...CALL, idempotent: false, label: 'sluice.keyed.claim' },
  )
  const byId = new Map(rows.map((row) => [row.id, row]))
  return claims.flatMap(({ id }) => byId.get(id) ?? [])
}

/** What is known of a task before it is claimed. */
export interface KeyedRow {
  readonly id: string
  readonly shard: number
  readonly key: string
  /** Null where it is the queue's. */
  readonly name: string | null
  readonly prio: number
  /** Attempts so far. One that has none is new, else it keeps its place in its key. */
  readonly attempt: number
  readonly held: boolean
  /** Milliseconds until it is due; 0 when it is. */
  readonly dueIn: number
}

const COLUMNS = `t.id::text as id, t.shard, t.key, t.name, t.prio, t.attempt, t.owner is not null as held,
  greatest(0, extract(epoch from t.run_at - (select clock_timestamp())) * 1000)::float8 as "dueIn"`

/** in: $1 ids · out: those that are there, and whether their queue is paused */
export const KEYED_STATE = `
select ${COLUMNS}, t.owner, exists (select from sluice.queue q where q.id = t.queue and q.paused_at is not null) as paused
from sluice.task t where t.id = any($1::bigint[])`

export interface KeyedState extends KeyedRow {
  readonly owner: string | null
  readonly paused: boolean
}

export function keyedState(db: EngineDatabase, ids: readonly string[]): Promise<KeyedState[]> {
  return db.query(KEYED_STATE, [ids], { ...CALL, idempotent: true, label: 'sluice.keyed.state' })
}

/** How far a shard has been read; see tasks/keyed-position.ts. */
export interface ReadFrom {
  readonly shard: number
  /** Ids above are new; at most `limit` of them. */
  readonly after: number
  readonly limit: number
  /** Between this and `after`: only what the snapshot did not see. */
  readonly gapFrom: number
  readonly seen: string | null
}

export interface ReadAhead {
  readonly snap: string
  /** Lowest transaction that was under way, and one that is above all who held an id of the rows; null without rows. */
  readonly xmin: string
  readonly above: string | null
  readonly rows: readonly KeyedRow[]
}

/** Rows of a gap that are read at once, of one shard. */
export const GAP_PAGE = 5_000

/**
 * in: $1 queue, $2 shards, $3 after, $4 limits, $5 gapFrom, $6 seen
 * out: one row: rows by shard and id, and the snapshot that they were read in
 */
export const READ_AHEAD = `
with r as materialized (
  select t.* from unnest($2::smallint[], $3::bigint[], $4::int[], $5::bigint[], $6::text[])
    as s(shard, after, lim, gap_from, seen)
  cross join lateral (
    (select ${COLUMNS} from sluice.task t
      where ${IN_ORDER} > ($1, s.shard, s.gap_from) and ${IN_ORDER} <= ($1, s.shard, s.after) and t.key is not null
        and s.seen is not null and (t.xid is null or not pg_visible_in_snapshot(t.xid, s.seen::pg_snapshot))
      order by ${BY_SHARD} limit ${GAP_PAGE})
    union all
    (select ${COLUMNS} from sluice.task t
      where ${IN_ORDER} > ($1, s.shard, s.after) and (t.queue, t.shard) <= ($1, s.shard) and t.key is not null
      order by ${BY_SHARD} limit s.lim)) t)
select pg_current_snapshot()::text as snap, pg_snapshot_xmin(pg_current_snapshot())::text as xmin,
  case when count(*) > 0 then pg_current_xact_id()::text end as above, coalesce(json_agg(r), '[]') as rows
from r`

export async function readAhead(
  db: EngineDatabase,
  queue: number,
  from: readonly ReadFrom[],
): Promise<ReadAhead> {
  const row = await db.queryOne<ReadAhead>(
    READ_AHEAD,
    [
      queue,
      from.map(({ shard }) => shard),
      from.map(({ after }) => after),
      from.map(({ limit }) => limit),
      from.map(({ gapFrom }) => gapFrom),
      from.map(({ seen }) => seen),
    ],
    { ...CALL, idempotent: true, label: 'sluice.keyed.read' },
  )
  // An aggregate without groups has one row.
  return row!
}

/**
 * in: $1 queue, $2 shard, $3 from id, $4 to id, $5 keys, $6 limit · out: their tasks by id
 *
 * How few have one of the keys is kept from the planner, which would walk the whole table to sort those few.
 */
export const READ_KEYS = `
select ${COLUMNS} from sluice.task t
where ${IN_ORDER} >= ($1, $2, $3) and ${IN_ORDER} <= ($1, $2, $4)
  and t.key is not null and coalesce(t.key = any($5::text[]), false)
order by ${BY_SHARD} limit $6`

/** Tasks of keys that had more than is kept in memory. */
export function readKeys(
  db: EngineDatabase,
  queue: number,
  shard: number,
  range: { readonly from: number; readonly to: number; readonly limit: number },
  keys: readonly string[],
): Promise<KeyedRow[]> {
  return db.query(READ_KEYS, [queue, shard, range.from, range.to, keys, range.limit], {
    ...CALL,
    idempotent: true,
    label: 'sluice.keyed.keys',
  })
}

/** in: $1 queue, $2 shard, $3 to id, $4 limit, $5 ms from now · out: tasks due from then on, the soonest first */
export const READ_LATER = `
select ${COLUMNS} from sluice.task t
where t.queue = $1 and t.shard = $2 and t.key is not null and t.id <= $3 and t.owner is null
  and t.run_at >= clock_timestamp() + $5::float8 * interval '1 ms'
order by t.run_at limit $4`

/** Delayed tasks, where there are more than is kept in memory. */
export function readLater(
  db: EngineDatabase,
  queue: number,
  shard: number,
  range: { readonly to: number; readonly limit: number; readonly dueIn: number },
): Promise<KeyedRow[]> {
  return db.query(READ_LATER, [queue, shard, range.to, range.limit, range.dueIn], {
    ...CALL,
    idempotent: true,
    label: 'sluice.keyed.later',
  })
}
