/**
 * Repairs the log after a dump was restored into another cluster. Readers go by transaction ids, and those of the new
 * cluster may be far below the stored ones: what is stored would be invisible until they have caught up, and new
 * events would be taken for old ones.
 *
 * The stored ids are meaningful among themselves. So for each cursor the lowest event that it has not read is found by
 * the old ticks; then stored rows get an id that is visible to everyone, the old ticks make way for two new ones, before
 * everything and now, and each cursor is put between them, before that event. Some events may come again; none is left
 * out. Copies of files, standbys and pg_upgrade keep the counter of transactions, and need nothing of this.
 *
 * One transaction, under the lock of migrations, before anything reads: of several processes one repairs.
 */
import type { Logger } from '../telemetry/log.ts'
import type { EngineDatabase, Queryable, Transaction } from './database.ts'
import { MIGRATE_LOCK } from './locks.ts'

/** Of every transaction id that a client can have, the lowest. */
const FIRST_XID = '3'
const LIMIT = '10m'

/**
 * out: one row: moved (another cluster than before), behind (its transaction ids are below those of the last tick)
 */
const LOOK = `
select (select v from sluice.meta where k = 'system') is distinct from c.system_identifier::text as moved,
  coalesce((select x0 >= pg_snapshot_xmax(pg_current_snapshot()) from sluice.tick order by n desc limit 1), false) as behind
from pg_control_system() c`

/** out: one row: behind, as far as events and tasks tell */
const LOOK_CLOSELY = `
select exists (select from sluice.topic t cross join lateral (
    select xid from sluice.event e where e.topic = t.id order by xid desc limit 1) e
    where e.xid >= pg_snapshot_xmax(pg_current_snapshot()))
  or exists (select from sluice.task where key is not null and xid >= pg_snapshot_xmax(pg_current_snapshot())) as behind`

/** effect: a temporary table of cursors with the lowest id that each has not read, by the old ticks */
const UNREAD = `
create temporary table sluice_unread on commit drop as
select l.kind, l.ref, l.shard, coalesce(least(
    (select min(e.id) from sluice.topic t cross join lateral (
      select id from sluice.event e where e.topic = t.id and e.xid >= pg_snapshot_xmin(a.snap)
        and not pg_visible_in_snapshot(e.xid, a.snap)
        and (b.n is null or not (pg_visible_in_snapshot(e.xid, b.snap) and e.id <= l.pos))
      order by id limit 1) e),
    -- Where its tick is gone nobody knows: from the beginning.
    case when a.n is null then 0 end),
  (select case when is_called then last_value + 1 else 0 end from sluice.event_id)) as id
from sluice.lease l left join sluice.tick a on a.n = l.tick left join sluice.tick b on b.n = l.till
where l.kind in ('s', 'r') and l.tick is not null`

/** effect: what is stored is visible to everyone */
const OLD_EVENTS = `update sluice.event set xid = '${FIRST_XID}' where xid >= $1::xid8`
const OLD_TASKS = `update sluice.task set xid = '${FIRST_XID}' where key is not null and xid >= $1::xid8`

/** in: $1 highest id handed out · out: first, last: n of the new ticks · effect: no others are left */
const NEW_TICKS = `
with gone as (delete from sluice.tick returning n),
top as (select max(n) as n from gone)
insert into sluice.tick (n, snap, lo, hi, x0)
select n + 1, '${FIRST_XID}:${FIRST_XID}:'::pg_snapshot, 0, 0, '${FIRST_XID}'::xid8 from top
union all select n + 2, pg_current_snapshot(), $1::bigint, $1::bigint, pg_current_xact_id() from top
returning n::text as n`

/** in: $1, $2 n of the new ticks · effect: each cursor is before what it has not read */
const MOVE_CURSORS = `
update sluice.lease l set tick = $1::bigint, till = $2::bigint, pos = greatest(0, u.id - 1), moved = clock_timestamp(),
  owner = null, epoch = l.epoch + 1
from sluice_unread u where l.kind = u.kind and l.ref = u.ref and l.shard = u.shard`

export interface Restored {
  /** It is another cluster than before. */
  readonly moved: boolean
  /** Rows of the log and of tasks whose transaction ids were changed; undefined where nothing had to be repaired. */
  readonly rows: number | undefined
}

/** Undefined where nothing has happened. */
export async function repairRestored(
  db: EngineDatabase,
  log: Logger,
  signal?: AbortSignal,
): Promise<Restored | undefined> {
  if (!(await hasMoved(db))) return undefined
  const restored = await db.transaction(
    async (tx) => {
      await tx.query('select pg_advisory_xact_lock($1)', [MIGRATE_LOCK])
      // Another process may have done it meanwhile.
      if (!(await hasMoved(tx))) return undefined
      return repair(tx)
    },
    { label: 'sluice.restore', timeout: LIMIT, ...(signal === undefined ? {} : { signal }) },
  )
  if (restored !== undefined) {
    log.warn(
      { rows: restored.rows },
      restored.rows === undefined
        ? 'the tables of sluice are in another cluster than before; nothing had to be repaired'
        : 'the tables of sluice were restored into a cluster with lower transaction ids: they were repaired, and some events may come again',
    )
  }
  return restored
}

async function hasMoved(db: Queryable): Promise<boolean> {
  const row = await db.queryOne<{ moved: boolean; behind: boolean }>(LOOK, [], {
    label: 'sluice.restore.look',
  })
  return row?.moved === true || row?.behind === true
}

async function repair(tx: Transaction): Promise<Restored> {
  const before = await tx.queryOne<{ moved: boolean; behind: boolean }>(LOOK)
  const closer = await tx.queryOne<{ behind: boolean }>(LOOK_CLOSELY, [], { timeout: LIMIT })
  const isBehind = before?.behind === true || closer?.behind === true
  const rows = isBehind ? await rewrite(tx) : undefined
  await tx.execute(
    `insert into sluice.meta (k, v) select 'system', system_identifier::text from pg_control_system()
     on conflict (k) do update set v = excluded.v`,
  )
  // The cluster that the dump is of may go on: what both send to a broker must not have the same ids.
  await tx.execute(`delete from sluice.meta where k = 'events.source'`)
  return { moved: before?.moved === true, rows }
}

async function rewrite(tx: Transaction): Promise<number> {
  const call = { timeout: LIMIT } as const
  await tx.execute('lock table sluice.tick, sluice.event, sluice.lease in exclusive mode', [], call)
  await tx.execute(UNREAD, [], call)
  const ids = await tx.queryOne<{ highest: string; xid: string }>(
    `select (select case when is_called then last_value else 0 end from sluice.event_id)::text as highest,
       pg_current_xact_id()::text as xid`,
  )
  // One row.
  const { highest, xid } = ids!
  const rows = (await tx.update(OLD_EVENTS, [xid], call)) + (await tx.update(OLD_TASKS, [xid], call))
  const ticks = await tx.query<{ n: string }>(NEW_TICKS, [highest], { ...call, idempotent: false })
  const [first, last] = ticks.map(({ n }) => n).toSorted((a, b) => Number(a) - Number(b))
  await tx.update(MOVE_CURSORS, [first, last], call)
  await tx.update('update sluice.replay set upto = $1::bigint where finished is null', [last], call)
  return rows
}
