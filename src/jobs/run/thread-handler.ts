/** A handler in the thread pool: the function `run` of a module, which is handed the job's data and facts. */
import type { Threads } from '../../components/threads/api.ts'
import type { Job } from '../job.ts'
import { GRACE_MS, type JobRun } from './job-run.ts'

/** What the function in the thread is handed. */
export interface ThreadJob<Data = unknown> {
  readonly id: string
  readonly name: string
  readonly data: Data
  readonly attempt: number
  readonly isLastAttempt: boolean
}

/** An abort of the run ends the thread: timeouts, cancels and shutdowns stop even a loop. */
export function threadHandler(
  threads: Threads,
  task: URL,
  job: Job<never, unknown>,
): (run: JobRun) => Promise<unknown> {
  return ({ id, name, data, attempt, isLastAttempt, signal }) => {
    const given: ThreadJob = { id, name, data, attempt, isLastAttempt }
    return threads.run(task, given, { signal, timeout: job.timeoutMs + GRACE_MS })
  }
}
