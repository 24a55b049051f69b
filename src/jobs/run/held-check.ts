/** Which of the runs here are no longer ours: their rows are gone, or belong to others. */
import { SluiceError } from '../../core/errors.ts'
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../../engine/database.ts'
import type { Engine } from '../../engine/engine.ts'
import type { Lease } from '../../engine/worker/worker.ts'
import type { JobRun } from './job-run.ts'
import type { Station } from './station.ts'

/** in: $1 ids, $2 attempts, $3 worker · out: ids that this worker does not hold */
const NOT_HELD = `
select a.id::text from unnest($1::bigint[], $2::smallint[]) a(id, attempt)
where not exists (select from sluice.task t where t.id = a.id and t.attempt = a.attempt and t.owner = $3)
  and not exists (select from sluice.task t where t.id = a.id and a.attempt = 1 and t.attempt = 0 and t.owner is null
    and t.id in (select unnest(l.ids) from sluice.lot l where l.owner = $3))`

async function notHeld(
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

export class HeldCheck {
  readonly #engine: Engine
  #checking = false

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Aborts runs of at least this age that are no longer ours: cancelled, or given to others. Never rejects. */
  async look(stations: Iterable<Station>, lease: Lease | undefined, minAgeMs: number): Promise<void> {
    const { clock, db } = this.#engine
    if (this.#checking || lease === undefined) return
    const before = clock.monotonic() - minAgeMs
    const runs = [...stations].flatMap((station) =>
      [...station.runs].filter((run) => run.startedAt <= before && run.abortReason === undefined),
    )
    if (runs.length === 0) return
    this.#checking = true
    try {
      const gone = await notHeld(db, runs, lease.id)
      for (const run of runs) {
        if (!gone.has(run.id)) continue
        run.abort(new SluiceError('SLUICE_CANCELLED', `job "${run.name}" ${run.id} was cancelled`))
      }
    } catch {
      // Looked at again within a second.
    } finally {
      this.#checking = false
    }
  }
}
