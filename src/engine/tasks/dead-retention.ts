/** Deletes dead letters that were kept for as long as was asked, in steps: of jobs, or of deliveries of events. */
import type { EngineDatabase } from '../database.ts'

export type DeadKind = 'jobs' | 'deliveries'

const STEP = 5_000

/** in: $1 rows, $2 milliseconds that they are kept, $3 whether those of subscriptions are meant */
const DROP = `
delete from sluice.dead where id = any(array(
  select d.id from sluice.dead d
  where d.died < clock_timestamp() - $2 * interval '1 ms'
    and exists (select from sluice.sub s where s.queue = d.queue) = $3::boolean
  order by d.died, d.id limit $1 for update of d skip locked))`

/** `keepMs`: 0 for ever. */
export async function dropOldDead(
  db: EngineDatabase,
  kind: DeadKind,
  keepMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (keepMs === 0) return
  const call = { idempotent: false, label: 'sluice.sweep', signal } as const
  while ((await db.delete(DROP, [STEP, keepMs, kind === 'deliveries'], call)) === STEP);
}
