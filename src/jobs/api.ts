/**
 * What services are handed by `jobs()`, and what it promises.
 *
 * - **At least once.** A job that `enqueue` acknowledged is run until its handler resolves, its attempts are used up (then
 *   it is a dead letter), or it is cancelled: through crashes of any process and of the database. It may run more than
 *   once: when a process dies after the handler's work and before its end is written down.
 * - **Exactly-once effect** for what the handler does through `tx` (`transaction: true`): it commits together with the
 *   job's end, or not at all.
 * - **With the user's data.** With `{ tx }` the job is there when the transaction commits, and never otherwise.
 * - **Order** is by priority, then by due time; it is a promise only among jobs of one `key`, which run one at a time in
 *   the order of their enqueueing, retries included.
 * - Two attempts of one job never both count: what an attempt answers after its lease was lost changes nothing.
 */
import type { Duration } from '../core/duration.ts'
import type { AsyncResult } from '../core/async-result.ts'
import type { ComponentBase } from '../app/component.ts'
import type { Transaction } from '../components/postgres/api.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Job } from './job.ts'

export interface EnqueueOptions {
  /** Commits with this transaction, or not at all. */
  readonly tx?: Transaction | undefined
  /** Run not before this has passed. @default 0 */
  readonly delay?: Duration | undefined
  /** Run not before this time; in place of `delay`. */
  readonly runAt?: Date | undefined
  /** 0 (first) to 9. @default the job's, which is 5 by default */
  readonly priority?: number | undefined
  /** Runs of this job, the first included, 1 to 100. @default the job's, which is 10 by default */
  readonly attempts?: number | undefined
  /**
   * Jobs of one key run one at a time, in the order of their enqueueing, unless the job's `limit` is by key and above 1.
   * At most 200 characters.
   */
  readonly key?: string | undefined
  /**
   * At most one job of this name and this text: while one is queued or running, or for a window of time.
   * `enqueue` then answers with `created: false`. At most 200 characters.
   */
  readonly unique?: string | UniqueOptions | undefined
  /** Name of a group: progress and cancelling of many jobs as one. At most 200 characters. */
  readonly group?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface UniqueOptions {
  readonly key: string
  /**
   * `queued`: one that waits; another may be enqueued once it runs. `running`: one that waits or runs. A duration: one
   * within that time, whatever became of it. Names of the three kinds are not each other's. @default 'running', and
   * 'queued' with `replace`
   */
  readonly while?: 'queued' | 'running' | undefined
  readonly for?: Duration | undefined
  /**
   * One that still waits is given the new data, priority, group and due time, and keeps its key: debouncing. While one
   * runs, another is queued. Not with `for`. @default false
   */
  readonly replace?: boolean | undefined
}

export interface EnqueuedJob {
  readonly id: string
  /** False where a unique one was there already, whose id this is. */
  readonly created: boolean
}

/** One job to be enqueued by `enqueueMany`. */
export interface JobInput<Input> extends Omit<EnqueueOptions, 'tx' | 'signal'> {
  readonly data: Input
}

export interface JobContext<Data> {
  readonly id: string
  readonly name: string
  readonly data: Data
  /** 1 for the first. */
  readonly attempt: number
  /** The last one: when it fails, the job is a dead letter. */
  readonly isLastAttempt: boolean
  readonly key: string | undefined
  readonly group: string | undefined
  readonly enqueuedAt: Date
  /** Aborts at the job's timeout, when it is cancelled, when its lease is lost, and late in a shutdown. */
  readonly signal: AbortSignal
  /** With `transaction: true`: what is done through it commits together with the job's end. */
  readonly tx: Transaction
  /** 0 to 1, seen by `get`; written at most once a second. */
  readonly progress: (fraction: number, note?: string) => void
  readonly log: Logger
}

export interface BatchContext<Data> {
  readonly jobs: readonly Omit<JobContext<Data>, 'tx'>[]
  readonly signal: AbortSignal
  readonly log: Logger
  /** Fails one item; the others are done. Throwing fails all of which nothing was said. */
  readonly fail: (id: string, error: unknown) => void
}

export interface HandleOptions {
  /** Jobs, or batches of them, run at once in this process. @default the job's, else JOBS_CONCURRENCY */
  readonly concurrency?: number | undefined
  /** Run the handler in a transaction, given as `tx`. @default false */
  readonly transaction?: boolean | undefined
}

export interface BatchOptions extends Omit<HandleOptions, 'transaction'> {
  /** Jobs handed to the handler at once, at most. */
  readonly batch: number
}

export type JobHandler<Data> = (context: JobContext<Data>) => unknown
export type BatchHandler<Data> = (context: BatchContext<Data>) => unknown

export type JobState = 'scheduled' | 'ready' | 'running' | 'done' | 'dead'

export interface JobInfo {
  readonly id: string
  readonly name: string
  readonly state: JobState
  readonly attempt: number
  readonly maxAttempts: number
  readonly priority: number
  readonly key: string | undefined
  readonly group: string | undefined
  readonly runAt: Date
  readonly enqueuedAt: Date
  readonly data: unknown
  readonly progress: { readonly fraction: number; readonly note: string | undefined } | undefined
  /** What the handler returned, where the job keeps results. */
  readonly result: unknown
  readonly errors: readonly JobError[]
  /** W3C trace id of the one who enqueued it. */
  readonly traceId: string | undefined
}

/** A job in a list, which reads no data and no result: `get` has them. */
export type ListedJob = Omit<JobInfo, 'data' | 'result'>

export interface JobFilter {
  /** Name of the job. */
  readonly job?: string | undefined
  readonly queue?: string | undefined
  readonly state?: 'scheduled' | 'ready' | 'running' | undefined
  /** Only those enqueued before this id: the last one of the page before. */
  readonly after?: string | undefined
  /** 1 to 10,000. @default 100 */
  readonly limit?: number | undefined
}

export interface JobError {
  readonly at: Date
  readonly attempt: number
  readonly error: string
}

export interface DeadLetter extends JobInfo {
  readonly diedAt: Date
  /** The last error, or why it was refused. */
  readonly why: string
}

export interface QueueStats {
  readonly name: string
  readonly ready: number
  readonly scheduled: number
  readonly running: number
  readonly dead: number
  readonly paused: boolean
  /** Why, where it paused itself. */
  readonly pausedWhy: string | undefined
  /** Age of the oldest ready job in milliseconds; 0 without one. */
  readonly oldestReadyMs: number
  /** Jobs that this process left to others since its start, having no handler of their name. */
  readonly unknown: number
}

export interface DeadLetterFilter {
  readonly job?: string | undefined
  readonly ids?: readonly string[] | undefined
  /** Died before. */
  readonly before?: Date | undefined
  /** @default 100, at most 10000 */
  readonly limit?: number | undefined
}

export interface RedriveOptions extends DeadLetterFilter {
  /** Put back first; the rest follows when at most half of them failed again. @default 20 */
  readonly canary?: number | undefined
}

export interface Redriven {
  readonly redriven: number
  /** More than half of the canaries failed again: the rest stayed dead. */
  readonly stopped: boolean
  /** Dead letters that match and are left, up to 10,000: behind the limit, or because it stopped. */
  readonly left: number
}

export interface DeadLetters {
  list(filter?: DeadLetterFilter): AsyncResult<readonly DeadLetter[]>
  get(id: string): AsyncResult<DeadLetter | undefined>
  /** Puts them back with fresh attempts; a few first, the rest only if those do not mostly fail again. */
  redrive(options?: RedriveOptions): AsyncResult<Redriven>
  /** Deletes them; how many. By job, ids or before: without any of them SLUICE_INVALID_ARGUMENT. */
  drop(filter: DeadLetterFilter): AsyncResult<number>
}

export interface GroupStats {
  readonly group: string
  /** Still to be done, running ones included. */
  readonly open: number
  readonly dead: number
}

export interface Jobs extends ComponentBase {
  /**
   * Resolves when the job is stored (with `tx`: when it is part of the transaction). SLUICE_INVALID_DATA, SLUICE_TOO_LARGE;
   * SLUICE_OUTCOME_UNKNOWN where the answer was lost, `retryable` with a unique name; SLUICE_CONFLICT where an open
   * transaction holds that name for more than 5 s.
   */
  enqueue<Input, Output>(
    job: Job<Input, Output>,
    data: Input,
    options?: EnqueueOptions,
  ): AsyncResult<EnqueuedJob>
  /** At most 100,000 at once, all of them or none; in the order of the items. */
  enqueueMany<Input, Output>(
    job: Job<Input, Output>,
    items: readonly JobInput<Input>[],
    options?: Pick<EnqueueOptions, 'tx' | 'signal'>,
  ): AsyncResult<readonly EnqueuedJob[]>
  /** Runs jobs in this process once the component is ready. Once a job; SLUICE_INVALID_ARGUMENT for a second one. */
  handle<Input, Output>(
    job: Job<Input, Output>,
    handler: JobHandler<Output>,
    options?: HandleOptions,
  ): JobWorker
  handle<Input, Output>(
    job: Job<Input, Output>,
    handler: BatchHandler<Output>,
    options: BatchOptions,
  ): JobWorker
  /** Runs the function `run` of the module in the thread pool of the app, which must have one. */
  handle<Input, Output>(
    job: Job<Input, Output>,
    task: URL,
    options?: Omit<HandleOptions, 'transaction'>,
  ): JobWorker
  get(id: string): AsyncResult<JobInfo | undefined>
  /** Jobs that wait or run, the youngest first. For people: it walks what matches, and is no way to find work. */
  list(filter?: JobFilter): AsyncResult<readonly ListedJob[]>
  /** Removes one that waits, aborts one that runs. False where there was none. */
  cancel(id: string): AsyncResult<boolean>
  cancelGroup(group: string): AsyncResult<number>
  group(group: string): AsyncResult<GroupStats>
  /**
   * No process claims it any more; what runs goes on. SLUICE_INVALID_ARGUMENT for a queue that nobody has enqueued into
   * and that has no handler in this process: a pause of a mistyped name would pause nothing.
   */
  pause(queue: string, reason?: string): AsyncResult<void>
  resume(queue: string): AsyncResult<void>
  stats(): AsyncResult<readonly QueueStats[]>
  readonly deadLetters: DeadLetters
}

/** A handler at work. */
export interface JobWorker extends AsyncDisposable {
  readonly queue: string
  readonly running: number
  /** Claims nothing more, and waits for what runs. */
  stop(): Promise<void>
}
