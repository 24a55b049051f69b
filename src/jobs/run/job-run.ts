/**
 * One attempt of one job, and what its handler is handed.
 *
 *     started ──handler settles──▶ ended
 *        └─timeout, cancel, lease lost, shutdown─▶ aborted ──handler settles, or the grace is over──▶ ended
 *
 * Made for a hundred thousand a second: nothing is made for a job that its handler does not ask for (a signal, a log), and
 * a handler that answers at once costs no promise and no timer.
 */
import { isThenable } from '../../core/async-result.ts'
import type { DeadlineEntry, DeadlineList } from '../../core/deadlines.ts'
import { SluiceError } from '../../core/errors.ts'
import { LazySignal } from '../../core/lazy-signal.ts'
import { checkData } from '../../core/standard-schema.ts'
import type { HeldTask } from '../../engine/tasks/task.ts'
import type { Transaction } from '../../engine/database.ts'
import { runWithCarrier, type Carrier } from '../../telemetry/context.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { JobContext, JobHandler } from '../api.ts'
import type { Ends } from './ends.ts'
import type { Job } from '../job.ts'

/** From its signal's abort on, a handler has so long to end; then its slot is taken from it. */
export const GRACE_MS = 5_000

/** Where it runs. */
export interface RunHost {
  readonly job: Job<never, unknown>
  readonly log: Logger
  readonly handler: JobHandler<unknown>
  /** Begins to watch its timeout. */
  watch(run: JobRun): void
  /** Its signal aborted: watches its grace in place of the timeout. */
  watchGrace(run: JobRun): void
  timeoutError(): SluiceError
  progress(run: JobRun, fraction: number, note: string | undefined): void
  done(run: JobRun, value: unknown): void
  failed(run: JobRun, error: unknown): void
}

export class JobRun implements JobContext<unknown>, DeadlineEntry {
  readonly #host: RunHost
  readonly task: HeldTask
  readonly ends: Ends
  readonly startedAt: number
  readonly #abort = new LazySignal()
  #data: unknown = undefined
  #ended = false
  deadlineAt = 0
  deadlineList: DeadlineList | undefined = undefined
  deadlinePrevious: DeadlineEntry | undefined = undefined
  deadlineNext: DeadlineEntry | undefined = undefined

  constructor(host: RunHost, task: HeldTask, ends: Ends, now: number) {
    this.#host = host
    this.task = task
    this.ends = ends
    this.startedAt = now
  }

  get id(): string {
    return this.task.id
  }
  get name(): string {
    return this.#host.job.name
  }
  get data(): unknown {
    return this.#data
  }
  get attempt(): number {
    return this.task.attempt
  }
  get isLastAttempt(): boolean {
    return this.task.attempt >= this.task.max_attempt
  }
  get key(): string | undefined {
    return this.task.key ?? undefined
  }
  get group(): string | undefined {
    return this.task.grp ?? undefined
  }
  get enqueuedAt(): Date {
    return new Date(this.task.made)
  }
  get signal(): AbortSignal {
    return this.#abort.signal
  }
  get tx(): Transaction {
    throw new SluiceError(
      'SLUICE_UNSUPPORTED',
      `job "${this.name}": its handler has no transaction; register it with { transaction: true }`,
    )
  }
  get log(): Logger {
    return this.#host.log.child({ job: this.name, jobId: this.id, attempt: this.attempt })
  }
  progress(fraction: number, note?: string): void {
    this.#host.progress(this, fraction, note)
  }

  start(): void {
    const { head } = this.task
    let outcome: unknown
    try {
      outcome = head === null ? this.#call() : runWithCarrier(JSON.parse(head) as Carrier, () => this.#call())
    } catch (error) {
      this.#fail(error)
      return
    }
    if (!isThenable(outcome)) {
      this.#done(outcome)
      return
    }
    this.#host.watch(this)
    outcome.then(
      (value) => this.#done(value),
      (error: unknown) => this.#fail(error),
    )
  }

  /** Tells the handler to end, and gives it some time to do so. */
  abort(reason: unknown): void {
    if (this.#ended || this.#abort.aborted) return
    this.#abort.abort(reason)
    this.#host.watchGrace(this)
  }

  /** The timeout, or the end of the grace. */
  deadlinePassed(): void {
    if (!this.#abort.aborted) this.abort(this.#host.timeoutError())
    else this.#fail(this.#abort.signal.reason)
  }

  #call(): unknown {
    const { job } = this.#host
    const { body } = this.task
    const checked = checkData(
      job.schema as Parameters<typeof checkData>[0],
      body === null ? undefined : (JSON.parse(body) as unknown),
      `job "${job.name}"`,
    )
    if (checked instanceof Promise) {
      return checked.then((data) => {
        this.#data = data
        return this.#host.handler(this)
      })
    }
    this.#data = checked
    return this.#host.handler(this)
  }

  #done(value: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#host.done(this, value)
  }

  #fail(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#host.failed(this, error)
  }
}
