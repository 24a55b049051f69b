/** Deletes what was kept for a time that is over: dead letters and results, a few thousand at a time. */
import type { EngineDatabase } from '../../engine/database.ts'

const STEP = 5_000
const CALL = { idempotent: false, label: 'sluice.sweep' } as const

/** `keepDeadMs`: 0 for ever. How many there were of both. */
export async function sweep(db: EngineDatabase, keepDeadMs: number): Promise<number> {
  let count = await db.delete(
    `delete from sluice.done where id = any(array(
       select id from sluice.done where until < clock_timestamp() order by until limit $1 for update skip locked))`,
    [STEP],
    CALL,
  )
  if (keepDeadMs > 0) {
    count += await db.delete(
      `delete from sluice.dead where id = any(array(
         select id from sluice.dead where died < clock_timestamp() - $2 * interval '1 ms'
         limit $1 for update skip locked))`,
      [STEP, keepDeadMs],
      CALL,
    )
  }
  return count
}
