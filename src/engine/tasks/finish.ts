/**
 * Ends of an attempt: done, failed, given back. Each is guarded by owner and attempt, so that a worker that was taken
 * for dead and comes back changes nothing; an id that does not come back was no longer ours.
 *
 * The owner is compared by `is not distinct from`, which no index answers: rows are found by their ids. With `=` the
 * planner took the index of owners, of which it expects one row, and compared each task that the worker holds with each
 * that ends: 650 ms for 1,000, in place of 14.
 */
import { STATEMENT_TIMEOUT_MS, type Queryable } from '../database.ts'
import type { Lot } from './task.ts'

export interface Ended {
  readonly id: string
  readonly attempt: number
  /** That it was taken with, while that is not settled its end goes another way (lots.ts). */
  readonly lot?: Lot | undefined
}

/** in: $1 ids, $2 attempts, $3 worker · out: ids that were ours · effect: they are gone */
export const ACK = `
delete from sluice.task t using unnest($1::bigint[], $2::smallint[]) a(id, attempt)
where t.id = a.id and t.attempt = a.attempt and t.owner is not distinct from $3 returning t.id`

const CALL = { idempotent: false, timeout: STATEMENT_TIMEOUT_MS } as const

/** The ids that were still ours. May run inside the handler's transaction: then effect and end commit together. */
export async function ackTasks(db: Queryable, tasks: readonly Ended[], worker: string): Promise<Set<string>> {
  const rows = await db.query<{ id: string }>(
    ACK,
    [tasks.map(({ id }) => id), tasks.map(({ attempt }) => attempt), worker],
    { ...CALL, label: 'sluice.ack' },
  )
  return new Set(rows.map(({ id }) => id))
}

export interface Failed extends Ended {
  /** Milliseconds until the next attempt; below 0 for none: the task is dead. */
  readonly delay: number
  /** At most 4,000 characters are kept. */
  readonly error: string
}

/** Errors that a task keeps: those of its last attempts. */
const MAX_ERRORS = 25

/**
 * in: $1 json array of id, attempt, delay in ms (below 0: dead), error; $2 worker
 * out: id, dead
 * effect: the task is due again, or it and its errors are in sluice.dead
 */
export const FAIL = `
with f as materialized (
  select id, attempt, delay, jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'attempt', attempt,
    'error', left(error, 4000))) as err, left(error, 4000) as why
  from json_to_recordset($1::json) as f(id bigint, attempt smallint, delay float8, error text)),
r as (
  update sluice.task t set owner = null, run_at = clock_timestamp() + f.delay * interval '1 ms',
    errs = case when jsonb_array_length(coalesce(t.errs, '[]')) >= ${MAX_ERRORS} then (t.errs - 0) || f.err
      else coalesce(t.errs, '[]') || f.err end
  from f where t.id = f.id and t.attempt = f.attempt and t.owner is not distinct from $2 and t.attempt < t.max_attempt and f.delay >= 0
  returning t.id),
d as (
  delete from sluice.task t using f
  where t.id = f.id and t.attempt = f.attempt and t.owner is not distinct from $2 and (t.attempt >= t.max_attempt or f.delay < 0)
  returning t.*, f.err, f.why),
b as (
  insert into sluice.dead (id, queue, prio, shard, attempt, max_attempt, owner, run_at, made, name, key, uniq, grp, body,
    head, errs, prog, why)
  select id, queue, prio, shard, attempt, max_attempt, owner, run_at, made, name, key, uniq, grp, body, head,
    coalesce(errs, '[]') || err, prog, why from d
  returning id)
select id, false as dead from r union all select id, true from b`

export interface FailedAnswer {
  readonly id: string
  /** It used up its attempts, or was refused. */
  readonly dead: boolean
}

/** What became of those that were still ours. */
export function failTasks(
  db: Queryable,
  tasks: readonly Failed[],
  worker: string,
): Promise<readonly FailedAnswer[]> {
  const items = tasks.map(({ id, attempt, delay, error }) => ({ id, attempt, delay, error }))
  return db.query<FailedAnswer>(FAIL, [JSON.stringify(items), worker], { ...CALL, label: 'sluice.fail' })
}

/** in: $1 ids, $2 attempts, $3 worker, $4 delay in ms · out: ids · effect: ready again, or due later, the attempt given back */
export const RELEASE = `
update sluice.task t set owner = null, attempt = t.attempt - 1,
  run_at = case when $4::float8 > 0 then clock_timestamp() + $4::float8 * interval '1 ms' else t.run_at end
from unnest($1::bigint[], $2::smallint[]) a(id, attempt)
where t.id = a.id and t.attempt = a.attempt and t.owner is not distinct from $3 returning t.id`

/** Gives tasks back that were not run to an end through no fault of theirs: at a shutdown, or for a program that knows them. */
export async function releaseTasks(
  db: Queryable,
  tasks: readonly Ended[],
  worker: string,
  delayMs = 0,
): Promise<Set<string>> {
  const rows = await db.query<{ id: string }>(
    RELEASE,
    [tasks.map(({ id }) => id), tasks.map(({ attempt }) => attempt), worker, delayMs],
    { ...CALL, label: 'sluice.release' },
  )
  return new Set(rows.map(({ id }) => id))
}
