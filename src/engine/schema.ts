/**
 * The tables of the engine, version 1. They live in the schema `sluice` of the database that they serve, so that a job
 * or an event commits with the user's own rows.
 *
 * - No foreign keys: they would lock parent rows on the hot path.
 * - `task` and its indexes are partial and small: a task is deleted when it is done, so that an idle system is empty.
 * - Bodies are text: nothing queries them, and jsonb would reorder their keys and refuse what JSON allows.
 * - Every stamp is the database's clock; processes never compare it with their own.
 */
import { TICK_LOCK } from './locks.ts'
import { CLAIM_PROCEDURES } from './tasks/claim-sql.ts'

export const SCHEMA_VERSION = 1

export const SCHEMA_V1 = `
-- Schema version, and the system identifier of the cluster that the transaction ids in here belong to.
create table sluice.meta (k text primary key, v text not null);

-- A queue of tasks. Each job has one of its own name unless it names another; so has each subscription that needs one.
create table sluice.queue (
  id int generated always as identity primary key,
  name text not null unique,
  shards smallint not null default 1,
  paused_at timestamptz,
  paused_why text,
  opts jsonb not null default '{}',
  made timestamptz not null default clock_timestamp()
);

-- One row per start of a process. It is alive while dead_at is null; beat says when it was heard of last.
create table sluice.worker (
  id bigint generated always as identity primary key,
  name text not null,
  made timestamptz not null default clock_timestamp(),
  beat timestamptz not null default clock_timestamp(),
  ttl interval not null default '8 s',
  has_lock boolean not null default true,
  dead_at timestamptz,
  info jsonb not null default '{}'
) with (fillfactor = 50);

-- Work to do: jobs, retries of deliveries, delayed and prioritised events. owner null: ready or due at run_at.
create table sluice.task (
  id bigint generated always as identity primary key,
  queue int not null,
  prio smallint not null default 5,
  shard smallint not null default 0,
  attempt smallint not null default 0,
  max_attempt smallint not null default 20,
  owner bigint,
  run_at timestamptz not null default clock_timestamp(),
  made timestamptz not null default clock_timestamp(),
  -- Of one with a key: the transaction that put it in, by which readers ahead find what was committed out of order.
  xid xid8,
  name text,
  key text,
  uniq text,
  grp text,
  body text,
  head text,
  errs jsonb,
  prog text
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.2);
create index task_ready on sluice.task (queue, prio, run_at, id) where owner is null and key is null;
create index task_keyed on sluice.task (queue, shard, id) where key is not null;
create index task_owned on sluice.task (owner) where owner is not null;
create unique index task_uniq on sluice.task (queue, uniq) where uniq is not null;
create index task_group on sluice.task (grp) where grp is not null;

-- Tasks that a worker took in one piece, and of which nothing else is written until they end; see tasks/lots.ts.
create table sluice.lot (
  id bigint generated always as identity primary key,
  queue int not null,
  owner bigint not null,
  ids bigint[] not null,
  made timestamptz not null default clock_timestamp()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500,
  autovacuum_vacuum_cost_delay = 0);
create index lot_queue on sluice.lot (queue);
-- Packing them would take longer than writing them as they are.
alter table sluice.lot alter column ids set storage external;
${CLAIM_PROCEDURES}

-- Unique for a window of time, longer than the task lives.
create table sluice.once (queue int not null, uniq text not null, until timestamptz not null, task bigint,
  primary key (queue, uniq)) with (fillfactor = 70);
create index once_until on sluice.once (until);

-- Starts of tasks by slot of time, the last one that of its slot: what a rate over all processes is counted by.
create table sluice.rate (queue int not null, key text not null, width float8 not null, slot bigint not null,
  counts int[] not null, granted int not null, until timestamptz not null, primary key (queue, key))
  with (fillfactor = 50);

-- Tasks that each worker runs of a queue with a limit. waiting: someone was refused since the last one ended.
create table sluice.gate (queue int primary key, held jsonb not null, granted int not null,
  waiting boolean not null default false, woken boolean not null default false) with (fillfactor = 50);

-- Tasks that used up their attempts, or were refused, with their bytes and the error of each attempt.
create table sluice.dead (
  like sluice.task,
  died timestamptz not null default clock_timestamp(),
  why text not null,
  primary key (id)
);
create index dead_queue on sluice.dead (queue, died, id);
create index dead_died on sluice.dead (died, id);

-- Results that were asked to be kept.
create table sluice.done (
  id bigint primary key,
  queue int not null,
  name text,
  attempt smallint not null,
  result text,
  made timestamptz not null,
  finished timestamptz not null default clock_timestamp(),
  until timestamptz not null
);
create index done_until on sluice.done (until);

create table sluice.topic (id int generated always as identity primary key, name text not null unique,
  made timestamptz not null default clock_timestamp());

-- The log. The transaction id is what readers go by: sequence order is not commit order.
create sequence sluice.event_id cache 1;
create table sluice.event (
  id bigint not null default nextval('sluice.event_id'),
  xid xid8 not null default pg_current_xact_id(),
  topic int not null,
  version smallint not null default 1,
  at timestamptz not null default clock_timestamp(),
  key text,
  head text,
  body text,
  primary key (topic, xid, id)
) partition by range (id);
-- The first two are made here: one that is attached below the ids that are handed out meets writers on their way into
-- the net, whom it would refuse.
create table sluice.event_1 partition of sluice.event for values from (1) to (100001);
create table sluice.event_100001 partition of sluice.event for values from (100001) to (200001);
create table sluice.event_rest partition of sluice.event default;

-- Snapshots in between which readers read. lo, hi: ids handed out before and after snap; every transaction that may
-- hold an id up to lo has a transaction id below x0.
create table sluice.tick (n bigint primary key, at timestamptz not null default clock_timestamp(),
  snap pg_snapshot not null, lo bigint not null, hi bigint not null, x0 xid8 not null,
  -- When it was taken out of the choice of readers; deleted an hour later, when none of them stands at it any more.
  thinned timestamptz);
insert into sluice.tick values (0, clock_timestamp(), pg_current_snapshot(), 0, 0, pg_current_xact_id());

-- Writes a tick where something is to be seen; see engine/log/tick.ts. Each statement in here has a snapshot of its own.
create function sluice.write_tick(gap interval) returns text language plpgsql volatile as $$
declare
  low bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return 'isolation';
  end if;
  if not pg_try_advisory_xact_lock(${TICK_LOCK}) then
    return 'busy';
  end if;
  if exists (select from (select at from sluice.tick order by n desc limit 1) t where t.at > clock_timestamp() - gap) then
    return 'busy';
  end if;
  select case when is_called then last_value else 0 end into low from sluice.event_id;
  insert into sluice.tick (n, snap, lo, hi, x0)
  select l.n + 1, c.snap, greatest(low, l.lo), q.last_value, case when low > l.lo then pg_current_xact_id() else l.x0 end
  from (select * from sluice.tick order by n desc limit 1) l, sluice.event_id q, (select pg_current_snapshot() as snap) c
  where low > l.lo
    or exists (select from pg_snapshot_xip(l.snap) x where x < l.x0 and pg_visible_in_snapshot(x, c.snap))
    or exists (select from generate_series(pg_snapshot_xmax(l.snap)::text::bigint, l.x0::text::bigint - 1) x
      where pg_visible_in_snapshot(x::text::xid8, c.snap));
  return case when found then 'written' else 'nothing' end;
end $$;

-- Named readers of topics.
create table sluice.sub (
  id int generated always as identity primary key,
  name text not null unique,
  patterns text[] not null,
  shards smallint not null default 1,
  on_fail text not null default 'park',
  paused_at timestamptz,
  paused_why text,
  queue int,
  -- Events that retention deleted before they were read.
  missed bigint not null default 0,
  opts jsonb not null default '{}',
  made timestamptz not null default clock_timestamp()
);

-- Events of the past that are handed to a subscription again. Its cursor is a lease of kind r; upto is the last tick.
create table sluice.replay (
  id int generated always as identity primary key,
  sub int not null,
  origin text not null,
  min_id bigint,
  min_at timestamptz,
  upto bigint not null,
  rate int not null,
  asked_by text,
  delivered bigint not null default 0,
  made timestamptz not null default clock_timestamp(),
  finished timestamptz,
  cancelled timestamptz
);
create index replay_open on sluice.replay (sub) where finished is null;

-- Who works on which shard (kind s: of a subscription, r: of a replay, q: of a keyed queue), fenced by the epoch; and how far a
-- subscription has read: everything visible in tick, and in the window up to till everything with an id up to pos.
create table sluice.lease (
  kind text not null,
  ref int not null,
  shard smallint not null,
  owner bigint,
  epoch bigint not null default 0,
  tick bigint,
  till bigint,
  pos bigint not null default 0,
  moved timestamptz,
  primary key (kind, ref, shard)
) with (fillfactor = 50);

-- Workers that want shards of it, and when each last looked: what a fair share is counted by.
create table sluice.contender (kind text not null, ref int not null, worker bigint not null,
  seen timestamptz not null default clock_timestamp(), primary key (kind, ref, worker)) with (fillfactor = 50);

-- Schedules and their runs. A slot runs once in the cluster: its row is the claim.
create table sluice.cron (
  name text primary key,
  expr text not null,
  tz text,
  missed text not null default 'skip',
  overlap text not null default 'skip',
  next_at timestamptz,
  paused_at timestamptz,
  opts jsonb not null default '{}',
  changed timestamptz not null default clock_timestamp()
);
create table sluice.cron_run (
  id bigint generated always as identity primary key,
  name text not null,
  slot timestamptz not null,
  manual text,
  owner bigint,
  state text not null default 'queued',
  attempt smallint not null default 0,
  queued timestamptz not null default clock_timestamp(),
  started timestamptz,
  finished timestamptz,
  err text
);
create unique index cron_run_slot on sluice.cron_run (name, slot) where manual is null;
create unique index cron_run_manual on sluice.cron_run (name, manual) where manual is not null;
create index cron_run_open on sluice.cron_run (name, slot) where finished is null;
create index cron_run_history on sluice.cron_run (name, id);

-- Who did what. prev and hash make a chain where it was asked for.
create table sluice.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  action text not null,
  subject text,
  before jsonb,
  after jsonb,
  meta jsonb,
  chain text,
  prev bytea,
  hash bytea,
  -- Of a record outside of a transaction: by which one that is sent again is known, where the answer was lost.
  ticket uuid
);
create unique index audit_ticket on sluice.audit (ticket) where ticket is not null;
create index audit_actor on sluice.audit (actor, at, id);
create index audit_action on sluice.audit (action, at, id);
create index audit_at on sluice.audit (at, id);
create unique index audit_chain on sluice.audit (chain, id) where chain is not null;
-- A chain never forks: two writers that did not see each other cannot both follow the same record.
create unique index audit_link on sluice.audit (chain, prev) where chain is not null;

-- Records are never changed, and deleted only by a transaction that says so.
create function sluice.audit_guard() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and current_setting('sluice.audit_retention', true) = 'on' then
    return old;
  end if;
  raise exception 'sluice.audit is append-only: % refused', lower(tg_op) using errcode = '42501',
    hint = 'Old records are deleted by audit.retention.';
end $$;
create trigger audit_rows before update or delete on sluice.audit
  for each row execute function sluice.audit_guard();
create trigger audit_table before truncate on sluice.audit
  for each statement execute function sluice.audit_guard();
`
