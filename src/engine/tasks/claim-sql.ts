/**
 * The statements that take ready tasks, as functions of the database: each waits for the queue's lock first, and looks
 * then, with a snapshot of its own.
 *
 * - `take_tasks` writes owner and attempt to each row. Several do so at once (the lock is shared): rows that another one
 *   is about to take are skipped.
 * - `take_lot` writes one row for all that it takes (see lots.ts), and is alone at the queue while it does. What it may
 *   not take that way it takes as the other one does: tasks that were tried before, unique ones, large ones.
 *
 * Both look at each priority by itself: one look into the index, which stops at the first row that is not due, so that
 * delayed rows of a high priority are not walked. `any(array(…))` keeps an update on the primary key whatever the
 * planner believes.
 */
import { LOT_CLASS } from '../locks.ts'
import { UNIQ_AT_CLAIM } from './unique-name.ts'

/** Bodies above this are not packed into a lot: an answer of 2,000 tasks has 16 MiB at most. */
const MAX_PACKED_BYTES = 8_192

/** Rows of a lot that is still open: taken by someone, though nothing is written at them. `t` is the task. */
export const inOpenLot = (t: string, queue: string): string =>
  `(${t}.attempt = 0 and ${t}.id in (select unnest(o.ids) from sluice.lot o where o.queue = ${queue}))`

const MAY_TAKE = `exists (select from sluice.worker where id = the_worker and dead_at is null)
    and not exists (select from sluice.queue where id = the_queue and paused_at is not null)`

/** The ready ones, the most urgent first, then by due time. */
const ready = (columns: string, lock: string): string => `
    select t.* from unnest(lows) with ordinality as p(low, n) cross join lateral (
      select ${columns} from sluice.task k
      where k.queue = the_queue and k.prio = (p.n - 1)::smallint and k.owner is null and k.key is null
        and k.run_at >= to_timestamp(p.low / 1000) and k.run_at <= (select clock_timestamp())
        and not ${inOpenLot('k', 'the_queue')}
      order by k.run_at, k.id limit most ${lock}) t
    where ${MAY_TAKE}
    limit most`

const MILLISECONDS = (column: string): string => `extract(epoch from ${column})::float8 * 1000`
const HELD = `t.id::text, t.queue, t.name, t.prio, t.attempt, t.max_attempt, t.key, t.uniq, t.grp, t.body, t.head, t.errs,
    ${MILLISECONDS('t.run_at')}, ${MILLISECONDS('t.made')}`

const TAKE = `
update sluice.task t set owner = the_worker, attempt = t.attempt + 1, uniq = ${UNIQ_AT_CLAIM}`

const COLUMNS = `id text, queue int, name text, prio smallint, attempt smallint, max_attempt smallint, key text, uniq text,
  grp text, body text, head text, errs jsonb, run_at float8, made float8`

const BY_ONES = `
with c as materialized (${ready('k.id', 'for update skip locked')})
${TAKE} where t.id = any(array(select c.id from c))
returning ${HELD}`

/** Whether it may go without a write of its own. */
const PLAIN = `(k.attempt = 0 and k.uniq is null and k.errs is null
        and octet_length(coalesce(k.body, '')) <= ${MAX_PACKED_BYTES}) as plain`
const LOT_COLUMNS = 'k.id, k.name, k.prio, k.max_attempt, k.grp, k.body, k.head, k.run_at, k.made'

/**
 * The lot's tasks are packed by columns: json_agg looks up how its type is written once, json_build_array for each value
 * of each row (2,000 tasks: 5.5 to 4 microseconds each on a loaded machine). What none of them has is null.
 */
const AS_LOT = `
with c as materialized (${ready(`${LOT_COLUMNS}, ${PLAIN}`, '')}),
l as (
  insert into sluice.lot (queue, owner, ids)
  select the_queue, the_worker, array_agg(c.id order by c.id) from c where c.plain having count(*) > 0 returning lot.id),
u as (
  ${TAKE} where t.id = any(array(
    select x.id from sluice.task x where x.id = any(array(select c.id from c where not c.plain)) and x.owner is null
    for update skip locked))
  returning ${HELD})
select (select l.id::text from l), (
  select json_build_array(string_agg(c.id::text, ','), json_agg(c.name), json_agg(c.prio), json_agg(c.max_attempt),
    json_agg(c.body), json_agg((${MILLISECONDS('c.run_at')})::bigint), json_agg((${MILLISECONDS('c.made')})::bigint),
    case when count(c.head) > 0 then (select json_agg(c.head) from c where c.plain) end,
    case when count(c.grp) > 0 then (select json_agg(c.grp) from c where c.plain) end)::text
  from c where c.plain),
  null::text, null::int, null::text, null::smallint, null::smallint, null::smallint, null::text, null::text, null::text,
  null::text, null::text, null::jsonb, null::float8, null::float8
union all
select null, null, u.* from u`

const declared = (name: string, answer: string, lock: string, statement: string): string => `
create function sluice.${name}(the_queue int, the_worker bigint, most int, lows float8[])
  returns table (${answer}) language plpgsql volatile as $$
#variable_conflict use_column
begin
  perform ${lock}(${LOT_CLASS}, the_queue);
  return query ${statement};
end $$;`

/** For the schema. */
export const CLAIM_FUNCTIONS =
  declared('take_tasks', COLUMNS, 'pg_advisory_xact_lock_shared', BY_ONES) +
  declared('take_lot', `"lotId" text, packed text, ${COLUMNS}`, 'pg_advisory_xact_lock', AS_LOT)

/** The statements as such, for those who want to see their plans: $1 queue, $2 worker, $3 limit, $4 lows. */
export const CLAIM_STATEMENTS = Object.fromEntries(
  Object.entries({ tasks: BY_ONES, lot: AS_LOT }).map(([name, text]) => [
    name,
    text
      .replaceAll('the_queue', '$1::int')
      .replaceAll('the_worker', '$2::bigint')
      .replaceAll(/\bmost\b/g, '$3::int')
      .replaceAll(/\blows\b/g, '$4::float8[]'),
  ]),
) as { readonly tasks: string; readonly lot: string }
