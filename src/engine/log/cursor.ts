/**
 * Cursors of subscriptions: how far each shard has been worked through. A cursor is written by the owner of the shard
 * only, which each statement compares, so that an owner that was frozen and comes back moves nothing.
 */
import { STATEMENT_TIMEOUT_MS, type Queryable } from '../database.ts'
import { readsOf } from './reads.ts'
import type { Position } from './window.ts'

/** The place of a cursor, and who may move it. */
export interface CursorOwner {
  readonly ref: number
  readonly shard: number
  readonly owner: string
  readonly epoch: string
}

export interface CursorMove extends CursorOwner, Position {
  /** As it was when the cursor was read: what the subscription reads has not changed since. */
  readonly reads: number
}

export interface StoredCursor extends Position {
  readonly reads: number
  /** What the subscription reads. */
  readonly patterns: readonly string[]
}

/**
 * in: $1 ref, $2 shard
 * out: the position; where its tick is gone, the one before: events may then come again, and none is left out
 */
const READ = `
select coalesce(a.n, (select max(n) from sluice.tick where n < l.tick), (select min(n) from sluice.tick))::text as tick,
  case when a.n is not null and b.n is not null then l.till::text end as till,
  case when a.n is not null and b.n is not null then l.pos::text else '0' end as pos,
  ${readsOf('s')} as reads, s.patterns
from sluice.lease l join sluice.sub s on s.id = l.ref left join sluice.tick a on a.n = l.tick left join sluice.tick b on b.n = l.till
where l.kind = 's' and l.ref = $1 and l.shard = $2`

/**
 * in: $1 ref, $2 shard · effect: waits for a transaction that has moved the cursor and is not over
 *
 * A commit whose answer was lost may still be under way. Whoever read the cursor as it was before that would hand over
 * again what the transaction has done.
 */
const SETTLE = `select 1 from sluice.lease where kind = 's' and ref = $1 and shard = $2 for share`

/** Waits for moves that are under way, for 3 seconds at most; rejects with SLUICE_TIMEOUT then. */
export async function readCursor(
  db: Queryable,
  ref: number,
  shard: number,
): Promise<StoredCursor | undefined> {
  await db.query(SETTLE, [ref, shard], { label: 'sluice.cursor.settle', timeout: STATEMENT_TIMEOUT_MS })
  return db.queryOne<StoredCursor>(READ, [ref, shard], { label: 'sluice.cursor.read' })
}

/**
 * in: $1 json array of moves
 * out: ref, shard of those that moved; one that is not there has another owner by now, or its subscription reads more
 */
const MOVE = `
update sluice.lease l set tick = c.tick, till = c.till, pos = c.pos, moved = clock_timestamp()
from json_to_recordset($1::json) as c(ref int, shard smallint, owner bigint, epoch bigint, tick bigint, till bigint, pos bigint, reads int)
where l.kind = 's' and l.ref = c.ref and l.shard = c.shard and l.owner = c.owner and l.epoch = c.epoch
  and exists (select from sluice.sub s where s.id = c.ref and ${readsOf('s')} = c.reads)
returning l.ref, l.shard`

/** For each move, whether it was still its owner's. May run inside the handler's transaction. */
export async function moveCursors(db: Queryable, moves: readonly CursorMove[]): Promise<readonly boolean[]> {
  const rows = await db.query<{ ref: number; shard: number }>(MOVE, [JSON.stringify(moves)], {
    label: 'sluice.cursor.move',
    idempotent: true,
    timeout: STATEMENT_TIMEOUT_MS,
  })
  const moved = new Set(rows.map(({ ref, shard }) => `${ref}:${shard}`))
  return moves.map(({ ref, shard }) => moved.has(`${ref}:${shard}`))
}
