/**
 * The statements that take ready tasks, as procedures of the database: each waits for the queue's lock first, looks then,
 * with a snapshot of its own, and commits before it answers. A client that is slow to read its answer, or frozen, holds
 * no lock; one text holds all tasks of it.
 *
 * - `take_tasks` writes owner and attempt to each row. Several do so at once (the lock is shared): rows that another one
 *   is about to take are skipped.
 * - `take_lot` writes one row for all that it takes (see lots.ts), and is alone at the queue while it does. What it may
 *   not take that way it takes as the other one does: tasks that were tried before, unique ones, large ones.
 *
 * Both look at each priority by itself: one look into the index, which stops at the first row that is not due, so that
 * delayed rows of a high priority are not walked. `any` of an array keeps an update on the primary key whatever
 * the planner believes.
 */
import { LOT_CLASS } from '../locks.ts'
import { UNIQ_AT_CLAIM } from './unique-name.ts'

/** Bodies above this are not packed into a lot: an answer of 2,000 tasks has 16 MiB at most. */
const MAX_PACKED_BYTES = 8_192

/**
 * Bytes of the bodies of one claim, but for those of a lot, and for a single one of more: an answer is one text, which
 * must not outgrow what a string may hold, nor take longer than a statement may.
 */
export const MAX_CLAIM_BYTES = 8_388_608

/**
 * Ids of the rows of `c`: all, or where they are too large together as many of the first as would fit if each were as large
 * as the largest. What is cut off is ready as before. One aggregate, so that it costs nothing where all are small; without
 * an order the rows are taken as they come.
 */
export function withinBytes(order?: string): string {
  const all = `array_agg(c.id${order === undefined ? '' : ` order by ${order}`})`
  return `(select case when sum(c.size) > ${MAX_CLAIM_BYTES}
    then (${all})[1 : greatest(1, ${MAX_CLAIM_BYTES} / max(c.size))] else ${all} end from c)::bigint[]`
}
/** Known without reading a body that is stored elsewhere. */
export const SIZE_OF = (t: string): string => `octet_length(coalesce(${t}.body, '')) as size`

/** Lots of a queue that may be open at once: whoever claims looks past all of their tasks. Then tasks are taken by ones. */
const MAX_OPEN_LOTS = 8
/** Shard of tasks without a key that a window names (unique.ts): they may be replaced while they wait, so a lot takes none. */
export const WINDOWED_SHARD = -1

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

// Not extract(), whose answer is a numeric: that costs three times as much.
const MILLISECONDS = (column: string): string => `date_part('epoch', ${column}) * 1000`
/** Of a task `t`, for who holds it. */
export const HELD = `t.id::text as id, t.queue, t.name, t.prio, t.attempt, t.max_attempt, t.key, t.uniq, t.grp, t.body, t.head, t.errs,
    ${MILLISECONDS('t.run_at')} as run_at, ${MILLISECONDS('t.made')} as made`

const TAKE = `
update sluice.task t set owner = the_worker, attempt = t.attempt + 1, uniq = ${UNIQ_AT_CLAIM}`

const byOnes = (into: string): string => `
with c as materialized (${ready(`k.id, k.prio, k.run_at, ${SIZE_OF('k')}`, 'for update skip locked')}),
u as (${TAKE} where t.id = any(${withinBytes()}) returning ${HELD})
select json_agg(row_to_json(u))::text ${into} from u`

/** Whether it may go without a write of its own. */
const PLAIN = `(k.attempt = 0 and k.uniq is null and k.errs is null and k.shard <> ${WINDOWED_SHARD}
        and octet_length(coalesce(k.body, '')) <= ${MAX_PACKED_BYTES}) as plain`
const LOT_COLUMNS = 'k.id, k.name, k.prio, k.max_attempt, k.grp, k.body, k.head, k.run_at, k.made'

/** All values; one where all are the same; null where there are none. */
function columnOf(name: string): string {
  const all = `array_agg(c.${name}) filter (where c.plain)`
  return `case when count(c.${name}) filter (where c.plain) = 0 then null
      when (${all})[1] = all (${all}) then to_json((${all})[1:1]) else to_json(${all}) end`
}

/**
 * The ready ones, those that may go into a lot packed by columns: json_agg looks up how its type is written once,
 * json_build_array for each value of each row, and what all have in common is said once.
 */
const pack = (into: string): string => `
select array_agg(c.id) filter (where c.plain), array_agg(c.id) filter (where not c.plain), json_build_array(
    string_agg(c.id::text, ',') filter (where c.plain),
    ${columnOf('name')},
    ${columnOf('prio')},
    ${columnOf('max_attempt')},
    json_agg(c.body) filter (where c.plain),
    json_agg((date_part('epoch', c.run_at) * 1000000)::bigint) filter (where c.plain),
    json_agg((${MILLISECONDS('c.made')})::bigint) filter (where c.plain),
    ${columnOf('head')},
    ${columnOf('grp')})::text ${into}
from (${ready(`${LOT_COLUMNS}, ${PLAIN}`, '')}) c`

const takeThese = (ids: string, into: string): string => `
with c as materialized (
  select x.id, x.prio, x.run_at, ${SIZE_OF('x')} from sluice.task x
  where x.id = any(${ids}) and x.owner is null for update skip locked),
u as (${TAKE} where t.id = any(${withinBytes('c.prio, c.run_at, c.id')}) returning ${HELD})
select json_agg(row_to_json(u))::text, cardinality(${ids}) - count(*) ${into} from u`

const OWN_SNAPSHOTS = `
  -- Where another level is the default, the snapshot would be older than the lock.
  if current_setting('transaction_isolation') <> 'read committed' then
    commit;
    set transaction isolation level read committed;
  end if;`

/** For the schema. */
export const CLAIM_PROCEDURES = `
create procedure sluice.take_tasks(the_queue int, the_worker bigint, most int, lows float8[], inout taken text)
language plpgsql as $$
#variable_conflict use_column
begin${OWN_SNAPSHOTS}
  perform pg_advisory_xact_lock_shared(${LOT_CLASS}, the_queue);
  ${byOnes('into taken')};
  commit;
end $$;
create procedure sluice.take_lot(the_queue int, the_worker bigint, most int, lows float8[],
  inout "lotId" text, inout packed text, inout others text, inout passed int)
language plpgsql as $$
#variable_conflict use_column
declare
  plain_ids bigint[];
  other_ids bigint[];
begin${OWN_SNAPSHOTS}
  if (select count(*) from sluice.lot where queue = the_queue) >= ${MAX_OPEN_LOTS} then
    passed := most;
    return;
  end if;
  perform pg_advisory_xact_lock(${LOT_CLASS}, the_queue);
  ${pack('into plain_ids, other_ids, packed')};
  passed := 0;
  if plain_ids is null then
    packed := null;
  else
    insert into sluice.lot (queue, owner, ids) values (the_queue, the_worker, plain_ids) returning id::text into "lotId";
  end if;
  if other_ids is not null then
    ${takeThese('other_ids', 'into others, passed')};
  end if;
  commit;
end $$;`

/** Those that look for tasks, as such, for who wants to see their plans: $1 queue, $2 worker, $3 limit, $4 lows. */
export const CLAIM_STATEMENTS = Object.fromEntries(
  Object.entries({ tasks: byOnes(''), lot: pack(''), others: takeThese("'{1,2}'::bigint[]", '') }).map(
    ([name, text]) => [
      name,
      text
        .replaceAll('the_queue', '$1::int')
        .replaceAll('the_worker', '$2::bigint')
        .replaceAll(/\bmost\b/g, '$3::int')
        .replaceAll(/\blows\b/g, '$4::float8[]'),
    ],
  ),
) as { readonly tasks: string; readonly lot: string; readonly others: string }
