/**
 * Handlers in a transaction: what they do through `tx` commits together with the job's end. When the job is no longer
 * ours by then (its lease was lost, it was cancelled), nothing of it commits.
 */
import { SluiceError } from '../../core/errors.ts'
import type { EngineDatabase } from '../../engine/database.ts'
import { letGoWhenIdle } from '../../engine/let-go.ts'
import { moment } from '../../engine/moments.ts'
import type { JobHandler } from '../api.ts'
import type { Job } from '../job.ts'
import { unwrapNoRetry } from '../no-retry.ts'
import { GRACE_MS, type JobRun } from './job-run.ts'
import { resultText } from './result-text.ts'

export function transactional(
  db: EngineDatabase,
  job: Job<never, unknown>,
  handler: JobHandler<unknown>,
): (run: JobRun) => Promise<unknown> {
  // The run's own timeout comes first, and names the job. A retry would run the handler again behind the attempt's back.
  const options = { retries: 0, timeout: job.timeoutMs + GRACE_MS, label: 'sluice.handler' }
  return async (run) => {
    const work = db.transaction(
      async (tx) => {
        run.enter(tx)
        const result = await handler(run)
        const { ends, id, attempt } = run
        const { lot } = run.task
        const { keepResultMs: keepMs } = job
        const kept = keepMs > 0 ? { result: resultText(job, result) } : {}
        const done = ends.source.done(tx, [{ id, attempt, lot, keepMs, ...kept }], ends.lease)
        const [ours] = await Promise.all([done, letGoWhenIdle(tx)])
        if (!ours.has(id)) {
          throw new SluiceError(
            'SLUICE_LEASE_LOST',
            `job "${job.name}" ${id}: it was taken from this process, so that its transaction was undone`,
          )
        }
        moment('jobs.committing', 1)
        return result
      },
      { ...options, signal: run.signal },
    )
    const value = await work.catch((error: unknown) => {
      throw unwrapNoRetry(error)
    })
    run.isStored = true
    return value
  }
}
