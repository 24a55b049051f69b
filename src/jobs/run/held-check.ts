/** Which of the runs here are no longer ours: their rows are gone, or belong to others. */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../../engine/database.ts'
import type { JobRun } from './job-run.ts'

/** in: $1 ids, $2 attempts, $3 worker · out: ids that this worker does not hold */
const NOT_HELD = `
select a.id::text from unnest($1::bigint[], $2::smallint[]) a(id, attempt)
where not exists (select from sluice.task t where t.id = a.id and t.attempt = a.attempt and t.owner = $3)
  and not exists (select from sluice.task t where t.id = a.id and a.attempt = 1 and t.attempt = 0 and t.owner is null
    and t.id in (select unnest(l.ids) from sluice.lot l where l.owner = $3))`

export async function notHeld(
  db: EngineDatabase,
  runs: readonly JobRun[],
  worker: string,
): Promise<ReadonlySet<string>> {
  const rows = await db.query<{ id: string }>(
    NOT_HELD,
    [runs.map(({ id }) => id), runs.map(({ attempt }) => attempt), worker],
    { idempotent: true, timeout: STATEMENT_TIMEOUT_MS, label: 'sluice.held' },
  )
  return new Set(rows.map(({ id }) => id))
}
