/** Statements of jobs that the engine has no other use for. */
import { STATEMENT_TIMEOUT_MS, type Queryable } from '../engine/database.ts'
import { inOpenLot } from '../engine/tasks/claim-sql.ts'
import type { DoneTask, GivenBack } from './source.ts'

const CALL = { idempotent: false, timeout: STATEMENT_TIMEOUT_MS } as const

/**
 * in: $1 json array of id, attempt, result, keep in ms; $2 worker
 * out: ids that were ours
 * effect: they are gone, their results in sluice.done
 */
const KEEP = `
with a as (
  select * from json_to_recordset($1::json) as a(id bigint, attempt smallint, result text, keep float8, lot bigint)),
d as (
  delete from sluice.task t using a
  where t.id = a.id and (t.attempt = a.attempt and t.owner = $2 or t.attempt = 0 and t.owner is null
    and exists (select from sluice.lot l where l.id = a.lot and l.owner = $2))
  returning t.id, t.queue, t.name, a.attempt, t.made, a.result, a.keep)
insert into sluice.done (id, queue, name, attempt, result, made, until)
select id, queue, name, attempt, result, made, clock_timestamp() + keep * interval '1 ms' from d
returning id`

export async function keepResults(
  db: Queryable,
  tasks: readonly DoneTask[],
  worker: string,
): Promise<Set<string>> {
  const items = tasks.map(({ id, attempt, lot, result, keepMs }) => ({
    id,
    attempt,
    result,
    keep: keepMs,
    lot: lot?.id,
  }))
  const rows = await db.query<{ id: string }>(KEEP, [JSON.stringify(items), worker], {
    ...CALL,
    label: 'sluice.keep',
  })
  return new Set(rows.map(({ id }) => id))
}

/**
 * in: $1 ids, $2 attempts, $3 delays in ms, $4 worker
 * out: ids that were ours
 * effect: ready again after the delay, the attempt given back
 */
const GIVE_BACK = `
update sluice.task t set owner = null, attempt = t.attempt - 1,
  run_at = case when a.delay > 0 then clock_timestamp() + a.delay * interval '1 ms' else t.run_at end
from unnest($1::bigint[], $2::smallint[], $3::float8[]) a(id, attempt, delay)
where t.id = a.id and t.attempt = a.attempt and t.owner = $4 returning t.id`

export async function giveBack(
  db: Queryable,
  tasks: readonly GivenBack[],
  worker: string,
): Promise<Set<string>> {
  const params = [
    tasks.map(({ id }) => id),
    tasks.map(({ attempt }) => attempt),
    tasks.map(({ delay }) => delay),
    worker,
  ]
  const rows = await db.query<{ id: string }>(GIVE_BACK, params, { ...CALL, label: 'sluice.release' })
  return new Set(rows.map(({ id }) => id))
}

/** in: $1 queue · out: ms until the first task without a key is due, below 0 for one that is; nothing without one */
const NEXT_DUE = `
select extract(epoch from min(t.run_at) - clock_timestamp())::float8 * 1000 as ms
from unnest(array[0,1,2,3,4,5,6,7,8,9]::smallint[]) as p(prio) cross join lateral (
  select run_at from sluice.task
  where queue = $1 and prio = p.prio and owner is null and key is null and not ${inOpenLot('task', '$1::int')}
  order by run_at, id limit 1) t`

export async function nextDue(db: Queryable, queue: number): Promise<number | undefined> {
  const row = await db.queryOne<{ ms: number | null }>(NEXT_DUE, [queue], {
    ...CALL,
    idempotent: true,
    label: 'sluice.due',
  })
  return row?.ms ?? undefined
}
