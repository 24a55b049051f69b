/**
 * Deliveries whose key is kept in order and that wait in the task table: of each key the first is tried again when it is
 * due, and those behind it wait. They belong to the shard of the subscription that their key belongs to, whose owner is
 * the only one to touch them; every statement compares the lease.
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase, type Queryable } from '../database.ts'
import type { TaskError } from '../tasks/task.ts'
import type { CursorOwner } from './cursor.ts'

export interface ParkedTask {
  readonly id: string
  readonly topic: string
  readonly key: string
  readonly attempt: number
  readonly maxAttempt: number
  readonly body: string | null
  readonly head: string
  readonly errs: readonly TaskError[] | null
}

const CALL = { timeout: STATEMENT_TIMEOUT_MS } as const

/** in: $1 queue, $2 shard · out: each key and how many wait */
const KEYS = `
select key, count(*)::int as waiting from sluice.task where queue = $1 and shard = $2 and key is not null group by key`

export function parkedKeys(
  db: EngineDatabase,
  queue: number,
  shard: number,
): Promise<readonly { readonly key: string; readonly waiting: number }[]> {
  return db.query(KEYS, [queue, shard], { ...CALL, label: 'sluice.parked.keys', idempotent: true })
}

const OWN = `exists (select from sluice.lease where kind = 's' and ref = $3 and shard = $2 and owner = $4 and epoch = $5)`

/**
 * in: $1 queue, $2 shard, $3 ref, $4 owner, $5 epoch, $6 limit
 * out: the first of each key that is due, by id
 * effect: their attempt, which is counted before they run, so that one that ends its process ends as well
 */
const CLAIM = `
with heads as materialized (
  select distinct on (key) id, run_at from sluice.task where queue = $1 and shard = $2 and key is not null order by key, id),
due as materialized (select id from heads where run_at <= clock_timestamp() and ${OWN} order by id limit $6)
update sluice.task t set attempt = t.attempt + 1 from due where t.id = due.id
returning t.id, t.name as topic, t.key, t.attempt, t.max_attempt as "maxAttempt", t.body, t.head, t.errs`

export async function claimParked(
  db: EngineDatabase,
  queue: number,
  { ref, shard, owner, epoch }: CursorOwner,
  limit: number,
): Promise<readonly ParkedTask[]> {
  const tasks = await db.query<ParkedTask>(CLAIM, [queue, shard, ref, owner, epoch, limit], {
    ...CALL,
    label: 'sluice.parked.claim',
    idempotent: false,
  })
  return tasks.toSorted((a, b) => Number(a.id) - Number(b.id))
}

/** in: $1 queue, $2 shard · out: milliseconds until the next is due; null without one */
const NEXT = `
select min(greatest(0, extract(epoch from run_at - clock_timestamp()) * 1000))::float8 as ms from (
  select distinct on (key) run_at from sluice.task where queue = $1 and shard = $2 and key is not null order by key, id) h`

export async function nextParked(
  db: EngineDatabase,
  queue: number,
  shard: number,
): Promise<number | undefined> {
  const row = await db.queryOne<{ ms: number | null }>(NEXT, [queue, shard], {
    ...CALL,
    label: 'sluice.parked.next',
    idempotent: true,
  })
  return row?.ms ?? undefined
}

export interface ParkedEnd {
  readonly id: string
  /** Milliseconds until it is due again; below 0: it is dead; null: it is done. */
  readonly delay: number | null
  readonly error: string | null
}

const MAX_ERRORS = 25

/**
 * in: $1 json array of ends, $2 shard, $3 ref, $4 owner, $5 epoch
 * out: ids that are no longer in the table
 * effect: done ones are gone, failed ones due again, or in sluice.dead with their errors
 */
const END = `
with f as materialized (
  select id, delay, left(error, 4000) as error from json_to_recordset($1::json) as f(id bigint, delay float8, error text) where ${OWN}),
r as (
  update sluice.task t set run_at = clock_timestamp() + f.delay * interval '1 ms',
    errs = (case when jsonb_array_length(coalesce(t.errs, '[]')) >= ${MAX_ERRORS} then t.errs - 0 else coalesce(t.errs, '[]') end)
      || jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'attempt', t.attempt, 'error', f.error))
  from f where t.id = f.id and f.delay >= 0 returning t.id),
d as (delete from sluice.task t using f where t.id = f.id and (f.delay is null or f.delay < 0) returning t.*, f.delay, f.error),
b as (
  insert into sluice.dead (id, queue, prio, shard, attempt, max_attempt, run_at, made, xid, name, key, uniq, grp, body, head, errs, prog, why)
  select id, queue, prio, shard, attempt, max_attempt, run_at, made, xid, name, key, uniq, grp, body, head,
    coalesce(errs, '[]') || jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'attempt', attempt, 'error', error)),
    prog, coalesce(error, '') from d where delay < 0)
select id from d`

export async function endParked(
  db: Queryable,
  { ref, shard, owner, epoch }: CursorOwner,
  ends: readonly ParkedEnd[],
): Promise<ReadonlySet<string>> {
  const rows = await db.query<{ id: string }>(END, [JSON.stringify(ends), shard, ref, owner, epoch], {
    ...CALL,
    label: 'sluice.parked.end',
    idempotent: false,
  })
  return new Set(rows.map(({ id }) => id))
}
