/**
 * Statements of schedules in the cluster. Slots are decided on, and runs claimed, in one transaction that holds the rows
 * of the schedules; whoever finds a row locked leaves it to the other. Every time is the database's.
 *
 *     queued ──claimed──▶ running ──▶ done | failed
 *       ▲ └──▶ skipped       │ failed or lost, and retries are left
 *       └────────────────────┘
 */

/** From being found dead to being taken for lost: longer than any statement that acts for it. */
const LOST_AFTER = `interval '4 s'`

/** in: $1 name, $2 expr, $3 tz, $4 missed, $5 overlap, $6 next_at, $7 opts · effect: the schedule; the last one wins */
export const REGISTER = `
insert into sluice.cron as c (name, expr, tz, missed, overlap, next_at, opts)
values ($1, $2, $3, $4, $5, $6::timestamptz, $7::jsonb)
on conflict (name) do update set expr = excluded.expr, tz = excluded.tz, missed = excluded.missed,
  overlap = excluded.overlap, opts = excluded.opts, changed = clock_timestamp(),
  next_at = case when c.expr = excluded.expr and c.tz = excluded.tz and excluded.next_at is not null
    then coalesce(c.next_at, excluded.next_at) else excluded.next_at end`

/** in: $1 name, $2 expr, $3 tz, $4 missed, $5 overlap, $6 next_at */
export const RESCHEDULE = `
update sluice.cron set expr = $2, tz = $3, missed = $4, overlap = $5, next_at = $6::timestamptz,
  changed = clock_timestamp()
where name = $1`

/** in: $1 names, $2 most, $3 those that cannot be read · out: schedules with something to decide or to claim, locked */
export const LOCK_DUE = `
select name, expr, tz, missed, overlap, next_at, clock_timestamp() as now,
  paused_at is null and next_at <= clock_timestamp() as due
from sluice.cron c
where name = any($1::text[]) and ((paused_at is null and next_at <= clock_timestamp())
  or exists (select from sluice.cron_run r where r.name = c.name and r.finished is null and r.state = 'queued'
    and r.queued <= clock_timestamp()))
order by name = any($3::text[]), next_at nulls last, name limit $2 for update skip locked`

/**
 * in, side by side: $1 names, $2 slots, $3 whether one beside an earlier run is left out; $4 runs that may wait
 * effect: rows of the slots, each once · out: by name, how many of them are left out
 */
export const INSERT_SLOTS = `
with asked as (
  select * from unnest($1::text[], $2::timestamptz[], $3::boolean[]) with ordinality as a (name, slot, alone, place)),
open as (
  select name, count(*) filter (where state = 'running') as running, count(*) filter (where state = 'queued') as queued
  from sluice.cron_run where name = any($1::text[]) and finished is null group by name),
decided as (
  select a.name, a.slot, a.place, case when o.queued >= $4::int then o.queued || ' runs wait already'
    when a.alone and o.running + o.queued > 0 then 'an earlier run was under way' end as why
  from asked a left join open o on o.name = a.name),
made as (
  insert into sluice.cron_run (name, slot, state, err, finished)
  select name, slot, case when why is null then 'queued' else 'skipped' end, why,
    case when why is null then null else clock_timestamp() end
  from decided order by place
  on conflict (name, slot) where manual is null do nothing returning name, state)
select name, count(*)::int as skipped from made where state = 'skipped' group by name`

/** in, side by side: $1 names, $2 next_at */
export const MOVE_ON = `
update sluice.cron c set next_at = a.next_at
from unnest($1::text[], $2::timestamptz[]) as a (name, next_at) where c.name = a.name`

/** in, side by side: $1 names, $2 whether their runs may overlap; $3 worker, $4 most · out: the runs claimed */
export const CLAIM = `
with picked as (
  select waiting.id from unnest($1::text[], $2::boolean[]) with ordinality as a (name, beside, place)
  cross join lateral (
    select id, slot from sluice.cron_run
    where name = a.name and finished is null and state = 'queued' and queued <= clock_timestamp()
      and (a.beside or not exists (
        select from sluice.cron_run where name = a.name and finished is null and state = 'running'))
    order by slot, id limit case when a.beside then $4::int else 1 end for update skip locked) waiting
  where exists (select from sluice.worker where id = $3::bigint and dead_at is null)
  order by a.place, waiting.slot, waiting.id limit $4::int)
update sluice.cron_run r set state = 'running', owner = $3::bigint, attempt = attempt + 1, started = clock_timestamp()
from picked where r.id = picked.id
returning r.id::text as id, r.name, r.slot, r.attempt, case when r.manual is null and r.attempt = 1
  then extract(epoch from r.started - r.slot)::float8 * 1000 end as late`

/** in: $1 run, $2 worker, $3 state, $4 error · out: nothing where it is another's by now */
export const FINISH = `
update sluice.cron_run set state = $3, err = $4, finished = clock_timestamp()
where id = $1::bigint and owner = $2::bigint and state = 'running' returning id`

/** in: $1 run, $2 worker, $3 milliseconds to wait, $4 error · effect: it waits for its next attempt */
export const RETRY = `
update sluice.cron_run set state = 'queued', err = $4, owner = null,
  queued = clock_timestamp() + $3::float8 * interval '1 ms'
where id = $1::bigint and owner = $2::bigint and state = 'running' returning id`

/** in: $1 worker, $2 runs that it knows of, $3 names · effect: what it claimed without getting the answer waits again */
export const GIVE_BACK = `
update sluice.cron_run set state = 'queued', owner = null, attempt = attempt - 1
where finished is null and state = 'running' and owner = $1::bigint and not (id = any($2::bigint[]))
  and name = any($3::text[]) returning id`

/** out: name, state · effect: runs of the dead are failed, or wait again where retries are left */
export const FREE_LOST = `
with lost as (
  select r.id, r.attempt <= coalesce((c.opts ->> 'retries')::int, 0) as again
  from sluice.cron_run r left join sluice.worker w on w.id = r.owner left join sluice.cron c on c.name = r.name
  where r.finished is null and r.state = 'running'
    and (w.id is null or w.dead_at < clock_timestamp() - ${LOST_AFTER})
  limit 1000 for update of r skip locked)
update sluice.cron_run r set err = 'worker lost', state = case when again then 'queued' else 'failed' end,
  owner = case when again then null else owner end, finished = case when again then null else clock_timestamp() end
from lost where r.id = lost.id
returning r.name, r.state`

/** in: $1 name, $2 how many to keep · effect: older ones are gone; keys of runs by hand are kept for a day at least */
export const PRUNE = `
delete from sluice.cron_run
where name = $1 and finished is not null and (manual is null or finished < clock_timestamp() - interval '1 day')
  and id < (select id from sluice.cron_run where name = $1 order by id desc offset $2 limit 1)`

/** in: $1 name, $2 key · out: id, created; nothing where the schedule is not there, or the key came at the same time */
export const RUN_NOW = `
with made as (
  insert into sluice.cron_run (name, slot, manual)
  select $1, clock_timestamp(), $2 where exists (select from sluice.cron where name = $1)
  on conflict (name, manual) where manual is not null do nothing returning id)
select id::text as id, true as created from made
union all select id::text, false from sluice.cron_run where name = $1 and manual = $2 and not exists (select from made)`

/** in: $1 name, $2 most · out: its runs, the newest first */
export const HISTORY = `
select id::text as id, name, slot, manual, state, attempt, started, finished, err,
  extract(epoch from finished - started)::float8 * 1000 as took
from sluice.cron_run where name = $1 order by cron_run.id desc limit $2`

/** out: every schedule with its last run */
export const STATUS = `
select c.name, c.expr, c.tz, c.missed, c.overlap, c.next_at, c.paused_at, last.started, last.state,
  (select count(*) from sluice.cron_run r where r.name = c.name and r.finished is null and r.state = 'running')::int as running
from sluice.cron c
left join lateral (select started, state from sluice.cron_run r
  where r.name = c.name and r.started is not null order by id desc limit 1) last on true
order by c.name limit 10000`

/** in: $1 names, of schedules that can be read · out: milliseconds until the next of them is due */
export const UNTIL_NEXT = `
select extract(epoch from min(next_at) - clock_timestamp())::float8 * 1000 as ms
from sluice.cron where name = any($1::text[]) and paused_at is null`

/** in: $1 names · out: milliseconds until a run that waits for its next attempt is due; those that are due are not meant */
export const UNTIL_RETRY = `
select extract(epoch from min(queued) - clock_timestamp())::float8 * 1000 as ms
from sluice.cron_run
where name = any($1::text[]) and finished is null and state = 'queued' and queued > clock_timestamp()`

/** Keys of users, and those made for runs without one, are told apart by a mark. */
export const USER_KEY = 'k:'
export const OWN_KEY = 'r:'
