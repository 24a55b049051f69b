/**
 * Ticks: stored snapshots of the database. Readers of the log read what became visible between two of them, because
 * sequence order is not commit order, and a reader that goes by ids skips what is committed late.
 *
 * A tick is written by any reader that finds something to see: new ids were handed out, or a transaction ended that
 * may hold ids handed out before. While nothing happens none is written.
 *
 * `lo` is read in a statement before the one that takes the snapshot. Every transaction that may hold an id up to `lo`
 * took its own id before, so it is below `x0`, the id of the tick's own transaction. The snapshot's xmax would be wrong
 * in its place: it is the last completed id + 1, so running transactions may lie above it and be on nobody's list; with
 * it, the last commits before a silence were never delivered in 4 of 10 rounds.
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'

/** Between two ticks of one database, at least. */
export const TICK_GAP_MS = 10

/** Chosen at random, once: one tick is written at a time. */
const LOCK = 7_263_001_984_517_235

/**
 * out: ok (the lock is ours), young (another tick was written a moment ago), lo
 * effect: a lock until the end of the transaction
 */
const TICK_LO = `
select pg_try_advisory_xact_lock(${LOCK}) as ok,
  coalesce((select t.at > clock_timestamp() - interval '${TICK_GAP_MS} ms' from sluice.tick t order by n desc limit 1), false) as young,
  (select case when is_called then last_value else 0 end from sluice.event_id) as lo`

/**
 * in: $1 lo
 * out: n of the tick that was written, if any
 * effect: a row of sluice.tick
 */
const TICK = `
insert into sluice.tick (n, snap, lo, hi, x0)
select l.n + 1, c.snap, greatest($1::bigint, l.lo), q.last_value,
  case when $1::bigint > l.lo then pg_current_xact_id() else l.x0 end
from (select * from sluice.tick order by n desc limit 1) l, sluice.event_id q, (select pg_current_snapshot() as snap) c
where $1::bigint > l.lo
  or exists (select from pg_snapshot_xip(l.snap) x where x < l.x0 and pg_visible_in_snapshot(x, c.snap))
  or exists (select from generate_series(pg_snapshot_xmax(l.snap)::text::bigint, l.x0::text::bigint - 1) x
    where pg_visible_in_snapshot(x::text::xid8, c.snap))
returning n`

/** `busy`: another process writes one, or has just done so; it may have missed what was committed since. */
export type Ticked = 'written' | 'nothing' | 'busy'

export function writeTick(db: EngineDatabase, signal?: AbortSignal): Promise<Ticked> {
  return db.transaction<Ticked>(
    async (tx) => {
      const row = await tx.queryOne<{ ok: boolean; young: boolean; lo: string }>(TICK_LO)
      if (row === undefined || !row.ok || row.young) return 'busy'
      const written = await tx.queryOne(TICK, [row.lo], { idempotent: false })
      return written === undefined ? 'nothing' : 'written'
    },
    {
      label: 'sluice.tick',
      timeout: STATEMENT_TIMEOUT_MS,
      retries: 0,
      ...(signal === undefined ? {} : { signal }),
    },
  )
}
