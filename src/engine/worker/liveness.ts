/**
 * Statements of liveness: how a worker says that it lives, and how others find that one does not.
 *
 *     alive ──lock free and beat 3 s old, or beat + ttl passed──▶ dead ──1 s (lock free) or 4 s──▶ what it owned is freed
 *
 * - The connection that beats also holds a session lock on the worker's id. When a process is killed its sockets close,
 *   and the lock is free within milliseconds; one that is frozen or cut off keeps it, and is dead by the silence alone.
 * - After a restart of the server every lock is free and every beat old: workers have a while to come back.
 * - Each is one statement, so that nobody who is frozen in the middle holds what others need. What must be done by one
 *   node at a time tries a lock that ends with the statement.
 */

import { isWorkerLock, REAP_LOCK, workerLock } from '../locks.ts'
import { IS_JOBS, MAX_BESIDE } from '../tasks/lone.ts'

/** $n: which tables these are; null for any. In those of others the same id is another worker's. */
const inTables = (n: string): string => `(${n}::text is null or to_regclass('sluice.meta')::oid = ${n}::oid)`

/** in: $1 name, $2 info, $3 tables · out: id; nothing where they are others */
export const REGISTER = `
insert into sluice.worker (name, info) select $1, $2::jsonb where ${inTables('$3')} returning id::text as id`

/** in: $1 worker · out: got, and pid of the session */
export const TAKE_LOCK = `select pg_try_advisory_lock(${workerLock('$1::bigint')}) as got, pg_backend_pid() as pid`

/**
 * in: $1 worker · effect: sessions of ours that the network forgot are ended, with the lock that they still hold
 */
export const END_OLD_SESSIONS = `
select pg_terminate_backend(pid) from pg_locks
where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
  and ${isWorkerLock('$1::bigint')} and granted
  and pid <> pg_backend_pid()`

/** in: $1 worker, $2 whether it holds its lock, $3 tables · out: nothing where it was found dead */
export const BEAT = `
update sluice.worker set beat = clock_timestamp(), has_lock = $2::boolean
where id = $1::bigint and dead_at is null and ${inTables('$3')} returning id`

/** in: $1 worker, $2 tables · effect: dead, and what it owns may be freed at once */
export const LEAVE = `
update sluice.worker set dead_at = clock_timestamp() - interval '1 minute' where id = $1::bigint and dead_at is null and ${inTables('$2')}`

export interface ReapTimes {
  readonly deadWithoutLockMs: number
  readonly returnMs: number
  readonly freeAfterCrashMs: number
  readonly freeAfterSilenceMs: number
}

/** in: $1 worker that looks · out: ids of those that are dead from now on */
export const markDead = ({ deadWithoutLockMs, returnMs }: ReapTimes): string => `
with turn as materialized (select pg_try_advisory_xact_lock(${REAP_LOCK}) as mine),
silent as materialized (
  select id, has_lock, beat + ttl < clock_timestamp() as late from sluice.worker, turn
  where mine and dead_at is null and id <> $1::bigint and beat < clock_timestamp() - interval '${deadWithoutLockMs} ms'
    and pg_postmaster_start_time() < clock_timestamp() - interval '${returnMs} ms'),
gone as materialized (
  select id from silent
  where case when late then true when has_lock then pg_try_advisory_xact_lock(${workerLock('id')}) else false end)
update sluice.worker w set dead_at = clock_timestamp() where w.id = any(array(select id from gone)) and dead_at is null
  and beat < clock_timestamp() - interval '${deadWithoutLockMs} ms'
returning id::text as id, name`

/**
 * out: topics of hints about the shards that are free, and about runs of schedules that are lost
 * effect: a worker whose lock is still free a while after it was marked dead is dead for long: its process is gone, and
 * so is what it could have been doing. Everything it owned may be taken at once.
 */
export const settleDead = ({ freeAfterCrashMs, freeAfterSilenceMs }: ReapTimes): string => `
with turn as materialized (select pg_try_advisory_xact_lock(${REAP_LOCK}) as mine),
dead as materialized (
  select id from sluice.worker, turn
  where mine and has_lock and dead_at < clock_timestamp() - interval '${freeAfterCrashMs} ms'
    and dead_at >= clock_timestamp() - interval '${freeAfterSilenceMs} ms'),
gone as materialized (select id from dead where pg_try_advisory_xact_lock(${workerLock('id')})),
settled as (
  update sluice.worker w set dead_at = dead_at - interval '1 minute' where id = any(array(select id from gone)) returning id)
select distinct 'lease-' || l.kind || l.ref as topic from sluice.lease l join settled s on s.id = l.owner
union all
select 'cron' where exists (select from sluice.cron_run r join settled s on s.id = r.owner where r.finished is null)`

/** Lots settled by one statement, each of 2,000 tasks at most. */
export const SETTLE_BATCH = 5

/**
 * out: one row a lot
 * effect: the tasks of lots that the dead took are owned by them, one by one, their attempt counted; they are freed next.
 * One that another transaction holds stays in its lot for the next look: nobody waits for that in here.
 */
export const settleLotsOfTheDead = ({ freeAfterSilenceMs }: ReapTimes): string => `
with turn as materialized (select pg_try_advisory_xact_lock(${REAP_LOCK}) as mine),
gone as materialized (
  select l.id from sluice.lot l left join sluice.worker w on w.id = l.owner
  where (select mine from turn) and case when w.id is null then true when w.dead_at is null then false
    else w.dead_at < clock_timestamp() - interval '${freeAfterSilenceMs} ms' end
  order by l.id limit ${SETTLE_BATCH} for update of l skip locked),
l as materialized (
  select id as lot, owner, unnest(ids) as task from sluice.lot where id = any(array(select id from gone))),
free as materialized (
  select t.id, l.owner from l join sluice.task t on t.id = l.task where t.attempt = 0 and t.owner is null
  for update of t skip locked),
held as materialized (
  select l.lot, array_agg(l.task order by l.task) as tasks from l join sluice.task t on t.id = l.task
  where t.attempt = 0 and t.owner is null and not exists (select from free f where f.id = l.task) group by l.lot),
d as (
  delete from sluice.lot where id = any(array(select id from gone)) and id <> all(array(select lot from held)) returning id),
k as (update sluice.lot set ids = h.tasks from held h where lot.id = h.lot returning lot.id),
t as (
  update sluice.task t set owner = f.owner, attempt = 1 from free f
  where t.id = f.id and (select count(*) from d) + (select count(*) from k) >= 0)
select id from d`

/** Errors that a task keeps: those of its last attempts. */
const MAX_ERRORS = 25
/** Tasks freed by one statement. */
export const FREE_BATCH = 1_000

/**
 * out: queue, freed, dead: how many tasks became ready again, and how many had no attempt left
 * effect: tasks of the dead are ready again, or in sluice.dead
 *
 * A death counts as an attempt of the job that ran alone, and of no other (tasks/lone.ts): one that was held beside others
 * has its attempt back.
 *
 * Owners are found by skipping from one to the next in their index: there are as many as workers, however many tasks.
 * One whose row is gone altogether is as dead as can be.
 */
export const freeTasks = ({ freeAfterSilenceMs }: ReapTimes): string => `
with recursive turn as materialized (select pg_try_advisory_xact_lock(${REAP_LOCK}) as mine),
owners(id) as (
  (select owner from sluice.task where owner is not null and (select mine from turn) order by owner limit 1)
  union all
  select (select owner from sluice.task where owner > o.id order by owner limit 1) from owners o where o.id is not null),
gone as materialized (
  select o.id, w.info ->> 'alone' as alone from owners o left join sluice.worker w on w.id = o.id
  where o.id is not null and case when w.id is null then true when w.dead_at is null then false
    else w.dead_at < clock_timestamp() - interval '${freeAfterSilenceMs} ms' end),
held as materialized (
  select t.id, t.attempt, t.max_attempt, coalesce((t.errs -> -1 ->> 'beside')::int, 0) as beside,
    exists (select from sluice.queue q where q.id = t.queue and ${IS_JOBS}) as shares,
    t.id::text = (select alone from gone where id = t.owner) as alone
  from sluice.task t where t.owner = any(array(select id from gone)) order by t.id limit ${FREE_BATCH} for update skip locked),
lost as materialized (
  select h.id, c.counts, not c.counts or h.attempt + h.beside < h.max_attempt as again,
    jsonb_build_array(jsonb_build_object('at', clock_timestamp(), 'attempt', h.attempt, 'error', 'worker lost')
      || case when h.shares then jsonb_build_object('beside', case when c.counts then h.beside
        else least(h.beside + 1, ${MAX_BESIDE}) end) else '{}' end) as err
  from held h cross join lateral (select not h.shares or (h.alone and h.beside > 0) is true as counts) c),
freed as (
  update sluice.task t set owner = null, attempt = t.attempt - case when l.counts then 0 else 1 end,
    errs = case when jsonb_array_length(coalesce(t.errs, '[]')) >= ${MAX_ERRORS} then (t.errs - 0) || l.err
      else coalesce(t.errs, '[]') || l.err end
  from lost l where t.id = l.id and l.again returning t.queue),
ended as (
  delete from sluice.task t using lost l where t.id = l.id and not l.again returning t.*, l.err),
dead as (
  insert into sluice.dead (id, queue, prio, shard, attempt, max_attempt, owner, run_at, made, name, key, uniq, grp, body,
    head, errs, prog, why)
  select id, queue, prio, shard, attempt, max_attempt, owner, run_at, made, name, key, uniq, grp, body, head,
    coalesce(errs, '[]') || err, prog, 'worker lost' from ended
  returning queue)
select queue, sum(freed)::int as freed, sum(dead)::int as dead from (
  select queue, count(*) as freed, 0 as dead from freed group by queue
  union all select queue, 0, count(*) from dead group by queue) s group by queue`
