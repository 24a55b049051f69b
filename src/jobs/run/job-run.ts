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
import { invalidArgument, SluiceError } from '../../core/errors.ts'
import { LazySignal } from '../../core/lazy-signal.ts'
import { checkData } from '../../core/standard-schema.ts'
import type { Transaction } from '../../engine/database.ts'
import type { HeldTask } from '../../engine/tasks/task.ts'
import { runWithCarrier, type Carrier } from '../../telemetry/context.ts'
import type { Logger } from '../../telemetry/log.ts'
import { hasTraceSdk } from '../../telemetry/otel-api.ts'
import { runInSpan, startSpan } from '../../telemetry/trace.ts'
import type { JobContext } from '../api.ts'
import type { Job } from '../job.ts'
import { noRetry } from '../no-retry.ts'
import type { Ends } from './ends.ts'

/** From its signal's abort on, a handler has so long to end; then its slot is taken from it. */
export const GRACE_MS = 5_000

/** Where it runs. */
export interface RunHost {
  readonly job: Job<never, unknown>
  readonly log: Logger
  readonly handler: (run: JobRun) => unknown
  /** Begins to watch its timeout. */
  watch(run: JobRun): void
  /** Its signal aborted: watches its grace in place of the timeout. */
  watchGrace(run: JobRun): void
  timeoutError(): SluiceError
  progress(run: JobRun, fraction: number, note: string | undefined): void
  done(run: JobRun, value: unknown): void
  failed(run: JobRun, error: unknown): void
}

/** The call that it is a part of, where its handler takes several at once. */
export interface RunBatch {
  aborted(reason: unknown): void
  ended(): void
}

export class JobRun implements JobContext<unknown>, DeadlineEntry {
  readonly #host: RunHost
  readonly task: HeldTask
  readonly ends: Ends
  readonly startedAt: number
  readonly #abort = new LazySignal()
  #reason: unknown = undefined
  #data: unknown = undefined
  #tx: Transaction | undefined = undefined
  #ended = false
  /** Its end was stored already, in the handler's transaction. */
  isStored = false
  batch: RunBatch | undefined = undefined
  onEnd: (() => void) | undefined = undefined
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
    if (this.#tx !== undefined) return this.#tx
    throw new SluiceError(
      'SLUICE_UNSUPPORTED',
      `job "${this.name}": its handler has no transaction; register it with { transaction: true }`,
    )
  }
  get log(): Logger {
    return this.#host.log.child({ job: this.name, jobId: this.id, attempt: this.attempt })
  }
  /** Of who enqueued it. */
  get traceparent(): string | undefined {
    return readHead(this.task.head).traceparent
  }
  get hasEnded(): boolean {
    return this.#ended
  }
  /** Why its signal aborted; undefined while it has not. */
  get abortReason(): unknown {
    return this.#reason
  }

  /** A getter, so that it may be taken out of the context, and costs nothing where it is not. */
  get progress(): JobContext<unknown>['progress'] {
    return (fraction, note) => {
      if (!(fraction >= 0 && fraction <= 1)) {
        throw invalidArgument(`job "${this.name}": progress`, 'a fraction from 0 to 1', fraction)
      }
      if (!this.#ended) this.#host.progress(this, fraction, note)
    }
  }

  /** The handler's transaction begins. */
  enter(tx: Transaction): void {
    this.#tx = tx
  }

  start(): void {
    const { head } = this.task
    let outcome: unknown
    try {
      outcome = head === null && !hasTraceSdk() ? this.#call() : this.#callInContext(head)
    } catch (error) {
      this.fail(error)
      return
    }
    if (!isThenable(outcome)) {
      this.end(outcome)
      return
    }
    this.#host.watch(this)
    outcome.then(
      (value) => this.end(value),
      (error: unknown) => this.fail(error),
    )
  }

  /** Reads the data. Throws, or rejects, with an error that makes it a dead letter: no other attempt reads it better. */
  read(): void | Promise<void> {
    const { job } = this.#host
    const { body } = this.task
    try {
      const value: unknown = body === null ? undefined : JSON.parse(body)
      const checked = checkData(job.schema as Parameters<typeof checkData>[0], value, `job "${job.name}"`)
      if (!(checked instanceof Promise)) {
        this.#data = checked
        return undefined
      }
      return checked.then(
        (data) => void (this.#data = data),
        (error: unknown) => Promise.reject(noRetry(error)),
      )
    } catch (error) {
      throw noRetry(error)
    }
  }

  /** Tells the handler to end, and gives it some time to do so. */
  abort(reason: unknown): void {
    if (this.#ended || this.#abort.aborted) return
    this.#reason = reason
    this.#abort.abort(reason)
    this.batch?.aborted(reason)
    this.#host.watchGrace(this)
  }

  /** Ends it, whatever its handler does. */
  giveUp(reason: unknown): void {
    this.abort(reason)
    this.fail(this.#reason)
  }

  /** The timeout, or the end of the grace. */
  deadlinePassed(): void {
    if (!this.#abort.aborted) this.abort(this.#host.timeoutError())
    else this.fail(this.#reason)
  }

  /** The handler is done. What comes after an end counts no more. */
  end(value: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#host.done(this, value)
  }

  fail(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#host.failed(this, error)
  }

  #call(): unknown {
    const reading = this.read()
    if (reading === undefined) return this.#host.handler(this)
    return reading.then(() => this.#host.handler(this))
  }

  /** In the request and trace of who enqueued it; what the head brings cannot make it fail. */
  #callInContext(head: string | null): unknown {
    return runWithCarrier(readHead(head), () => {
      const span = startSpan(`job ${this.name}`, {
        kind: 'consumer',
        attributes: { 'sluice.job': this.name, 'sluice.job.id': this.id, 'sluice.job.attempt': this.attempt },
      })
      return runInSpan(span, () => this.#call())
    })
  }
}

/** Parts of it that are what they should be. */
function readHead(head: string | null): Carrier {
  if (head === null) return {}
  try {
    const { requestId, traceparent } = JSON.parse(head) as Record<string, unknown>
    return {
      ...(typeof requestId === 'string' ? { requestId } : {}),
      ...(typeof traceparent === 'string' ? { traceparent } : {}),
    }
  } catch {
    return {}
  }
}
