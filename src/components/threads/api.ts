/** What services are handed for the thread pool. */
import type { ComponentBase } from '../../app/component.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { Duration } from '../../core/duration.ts'
import type { TransferList } from './transfer.ts'

export interface TaskOptions {
  /** Aborts the task: its thread is ended and replaced. Rejects with the signal's own reason. */
  readonly signal?: AbortSignal | undefined
  /** Limit of the task, waiting for a thread included. @default threads.taskTimeout */
  readonly timeout?: Duration | undefined
  /** 0 (first) to 9. @default 5 */
  readonly priority?: number | undefined
  /** Parts of the data that are moved instead of copied. @default none */
  readonly transfer?: TransferList | undefined
  /** Runs it in a process of its own, which costs about 80 ms, and survives what a thread does not. @default false */
  readonly isolated?: boolean | undefined
  /** Name of the exported function. @default 'run' */
  readonly name?: string | undefined
}

export interface Threads extends ComponentBase {
  /**
   * Runs the function `run` of a module in a thread: `threads.run(new URL('./resize.ts', import.meta.url), image)`.
   * Data and result are copied as by `structuredClone`; `.ts` and `.js` modules both work.
   *
   * Rejects with the task's own error, with SLUICE_TIMEOUT (the thread is ended and replaced), SLUICE_THREAD_MEMORY,
   * SLUICE_THREAD_CRASHED, SLUICE_POOL_FULL, SLUICE_INVALID_ARGUMENT for a module or data that is none, SLUICE_CLOSED.
   */
  run<Result = unknown>(task: URL, data?: unknown, options?: TaskOptions): AsyncResult<Result>
}
