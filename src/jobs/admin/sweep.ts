/** Deletes what was kept for a time that is over, results and dead letters, in steps. */
import type { EngineDatabase } from '../../engine/database.ts'

const STEP = 5_000
const CALL = { idempotent: false, label: 'sluice.sweep' } as const

/** in: $1 rows */
const RESULTS = `
delete from sluice.done where id = any(array(
  select id from sluice.done where until < clock_timestamp() order by until limit $1 for update skip locked))`

/** in: $1 rows, $2 milliseconds that they are kept */
const DEAD = `
delete from sluice.dead where id = any(array(
  select id from sluice.dead where died < clock_timestamp() - $2 * interval '1 ms' limit $1 for update skip locked))`

/** `keepDeadMs`: 0 for ever. */
export async function sweep(db: EngineDatabase, keepDeadMs: number, signal: AbortSignal): Promise<void> {
  const call = { ...CALL, signal }
  while ((await db.delete(RESULTS, [STEP], call)) === STEP);
  if (keepDeadMs > 0) while ((await db.delete(DEAD, [STEP, keepDeadMs], call)) === STEP);
}
