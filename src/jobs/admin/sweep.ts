/** Deletes what was kept for a time that is over, results and dead letters, in steps. */
import type { EngineDatabase } from '../../engine/database.ts'
import { dropOldDead } from '../../engine/tasks/dead-retention.ts'

const STEP = 5_000

/** in: $1 rows */
const RESULTS = `
delete from sluice.done where id = any(array(
  select id from sluice.done where until < clock_timestamp() order by until limit $1 for update skip locked))`

/** `keepDeadMs`: 0 for ever. */
export async function sweep(db: EngineDatabase, keepDeadMs: number, signal: AbortSignal): Promise<void> {
  const call = { idempotent: false, label: 'sluice.sweep', signal } as const
  while ((await db.delete(RESULTS, [STEP], call)) === STEP);
  await dropOldDead(db, 'jobs', keepDeadMs, signal)
}
