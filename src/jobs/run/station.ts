/** Where the jobs of one name are run in this process: its handler, its slots, and tasks that are claimed ahead. */
import { backoffMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import type { Deadlines } from '../../core/deadlines.ts'
import { hasCode, SluiceError, toError } from '../../core/errors.ts'
import { Ring } from '../../core/ring.ts'
import { moment } from '../../engine/moments.ts'
import type { HeldTask } from '../../engine/tasks/task.ts'
import type { Logger } from '../../telemetry/log.ts'
import { LogLimit } from '../../telemetry/log-limit.ts'
import type { BatchHandler } from '../api.ts'
import type { Job } from '../job.ts'
import { isNoRetry } from '../no-retry.ts'
import { BatchRun } from './batch-run.ts'
import type { Ends } from './ends.ts'
import { errorText } from '../../engine/error-text.ts'
import type { JobMetrics } from './job-metrics.ts'
import { GRACE_MS, JobRun, type RunHost } from './job-run.ts'
import { Pace } from './pace.ts'
import type { ProgressWriter } from './progress.ts'
import { resultText } from './result-text.ts'

export type StationHandler =
  | { readonly kind: 'single'; readonly run: (run: JobRun) => unknown }
  | { readonly kind: 'batch'; readonly run: BatchHandler<unknown>; readonly size: number }

export interface StationOptions {
  readonly job: Job<never, unknown>
  readonly handler: StationHandler
  /** Calls of the handler at once. */
  readonly concurrency: number
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly deadlines: Deadlines
  readonly progress: ProgressWriter
  readonly metrics: JobMetrics
  /** A slot or place is free. */
  readonly onRoom: () => void
}

interface Held {
  readonly task: HeldTask
  readonly ends: Ends
  /** Of one that is in no call of the handler with others. Called when it has ended here, or will not begin. */
  readonly onEnd?: (() => void) | undefined
}

/** Failed attempts are told of at warn no more often than this, for each job. */
const REPORT_EVERY_MS = 60_000
/** Handlers that answer at once run in a row for so long, before others have a turn. */
const TURN_MS = 10
/** What was claimed ahead and has waited for so long is given to others. */
const MAX_HELD_MS = 1_000

export class Station implements RunHost {
  readonly job: Job<never, unknown>
  readonly log: Logger
  readonly handler: (run: JobRun) => unknown
  readonly metrics: JobMetrics
  readonly #options: StationOptions
  readonly #batch: Extract<StationHandler, { kind: 'batch' }> | undefined
  readonly #buffer = new Ring<Held>()
  readonly #running = new Set<JobRun>()
  readonly #pace: Pace
  readonly #failures: LogLimit
  /** Tasks that one slot takes. */
  readonly #size: number
  /** Calls of the handler under way. */
  #taken = 0
  /** When the buffer was filled or drawn from last. */
  #movedAt = 0
  #pumping = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(options: StationOptions) {
    const { job, handler, log, metrics, concurrency } = options
    this.#options = options
    this.job = job
    this.log = log
    this.metrics = metrics
    this.#batch = handler.kind === 'batch' ? handler : undefined
    this.handler = handler.kind === 'single' ? handler.run : () => undefined
    this.#size = handler.kind === 'batch' ? handler.size : 1
    this.#failures = new LogLimit(options.clock, REPORT_EVERY_MS)
    this.#pace = new Pace(concurrency * this.#size)
  }

  get running(): number {
    return this.#running.size
  }
  get runs(): Iterable<JobRun> {
    return this.#running
  }
  get buffered(): number {
    return this.#buffer.length
  }
  /** Of tasks that wait or run here. */
  *ids(): Iterable<string> {
    for (const { task } of this.#buffer) yield task.id
    for (const { id } of this.#running) yield id
  }
  get #free(): number {
    return (this.#options.concurrency - this.#taken) * this.#size
  }
  /** Tasks that it would take now. */
  get room(): number {
    return Math.max(0, this.#free + this.#pace.ahead - this.#buffer.length)
  }
  /** Worth a claim: slots stand empty, or what is held ahead is half used up. */
  get isHungry(): boolean {
    return this.#free > this.#buffer.length || this.#buffer.length * 2 < this.#pace.ahead
  }

  accept(task: HeldTask, ends: Ends): void {
    this.#buffer.push({ task, ends })
  }

  /** As the others, and by itself where the handler takes several at once. Resolves when it has ended, or will not begin. */
  runAlone(task: HeldTask, ends: Ends): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#buffer.push({ task, ends, onEnd: resolve })
    this.pump()
    return promise
  }

  /** Starts what there is room for. */
  readonly pump = (): void => {
    if (this.#pumping) return
    this.#pumping = true
    const { clock, concurrency } = this.#options
    const from = clock.monotonic()
    let now = from
    let started = 0
    while (this.#taken < concurrency && this.#buffer.length > 0) {
      started += this.#batch === undefined ? this.#startOne(now) : this.#startBatch(this.#batch, now)
      now = clock.monotonic()
      if (now - from > TURN_MS && this.#buffer.length > 0) {
        setImmediate(this.pump)
        break
      }
    }
    this.#pumping = false
    this.#movedAt = now
    if (started > 0) this.#pace.started(started, now - from)
    if (this.isHungry) this.#options.onRoom()
  }

  watch(run: JobRun): void {
    if (run.hasEnded || run.abortReason !== undefined) return
    this.#options.deadlines.add(run, this.job.timeoutMs, this.#options.clock.monotonic())
  }

  watchGrace(run: JobRun): void {
    this.#options.deadlines.remove(run)
    this.#options.deadlines.add(run, GRACE_MS, this.#options.clock.monotonic())
  }

  timeoutError(): SluiceError {
    const { name, timeoutMs } = this.job
    return new SluiceError('SLUICE_TIMEOUT', `job "${name}" was not done after ${timeoutMs} ms`, {
      retryable: true,
      hint: 'End its work when its signal aborts, or raise the timeout of the job.',
      details: { timeoutMs },
    })
  }

  progress(run: JobRun, fraction: number, note: string | undefined): void {
    this.#options.progress.report(run, fraction, note)
  }

  done(run: JobRun, value: unknown): void {
    if (!run.isStored) {
      const { keepResultMs: keepMs } = this.job
      const { id, attempt, lot } = run.task
      try {
        const kept = keepMs > 0 ? { result: resultText(this.job, value) } : {}
        run.ends.done.add({ id, attempt, lot, keepMs, ...kept })
      } catch (error) {
        this.failed(run, isNoRetry(error) ? error : toError(error))
        return
      }
    }
    moment('jobs.handled', 1)
    this.metrics.done.add()
    this.#end(run)
  }

  failed(run: JobRun, error: unknown): void {
    const { random } = this.#options
    const { id, attempt, lot } = run.task
    if (hasCode(run.abortReason, 'SLUICE_SHUTDOWN')) {
      run.ends.released.add({ id, attempt, lot, delay: 0 })
    } else {
      const isFinal = isNoRetry(error) || isCancel(error)
      const delay = isFinal ? -1 : backoffMs(attempt, random(), this.job.backoff)
      this.#reportAttempt(run, toError(error), delay)
      run.ends.failed.add({ id, attempt, lot, delay, error: errorText(error) })
      this.metrics.failed.add()
      if (isFinal || run.isLastAttempt) this.metrics.dead.add()
    }
    this.#end(run)
  }

  /** Gives back what has not begun. */
  clear(delay = 0): void {
    for (let held = this.#buffer.shift(); held !== undefined; held = this.#buffer.shift()) {
      const { id, attempt, lot } = held.task
      held.ends.released.add({ id, attempt, lot, delay })
      held.onEnd?.()
    }
  }

  /** Gives back what waits for slots that do not become free. */
  yieldHeld(now: number, delay: number): void {
    const ms = now - this.#movedAt
    if (this.#buffer.length === 0 || ms <= MAX_HELD_MS) return
    this.#pace.stalled(ms)
    this.clear(delay)
  }

  /** Forgets what was claimed under a lease that is no more. */
  lose(reason: unknown): void {
    for (let held = this.#buffer.shift(); held !== undefined; held = this.#buffer.shift()) held.onEnd?.()
    this.abort(reason)
  }

  abort(reason: unknown): void {
    for (const run of this.#running) run.abort(reason)
  }

  giveUp(reason: unknown): void {
    for (const run of this.#running) run.giveUp(reason)
  }

  /** Resolves when nothing runs. */
  idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers()
    return this.#idle.promise
  }

  /** At warn once a minute, so that a job that fails again and again is seen; what became of the last attempt follows. */
  #reportAttempt(run: JobRun, error: Error, delay: number): void {
    const { id, attempt } = run.task
    const fields = { err: error, job: this.job.name, jobId: id, attempt }
    const willRetry = delay >= 0 && !run.isLastAttempt
    const suppressed = willRetry ? this.#failures.take() : undefined
    if (suppressed === undefined) this.log.debug(fields, 'an attempt failed')
    else {
      const nextInMs = Math.round(delay)
      this.log.warn({ ...fields, of: run.task.max_attempt, nextInMs, suppressed }, 'an attempt failed')
    }
  }

  #startOne(now: number): number {
    const run = this.#take(now)
    if (run === undefined) return 0
    this.#taken += 1
    run.start()
    return 1
  }

  #startBatch(batch: Extract<StationHandler, { kind: 'batch' }>, now: number): number {
    const runs: JobRun[] = []
    while (runs.length < batch.size && this.#buffer.length > 0) {
      const isAlone = this.#buffer.peek()?.onEnd !== undefined
      if (isAlone && runs.length > 0) break
      const run = this.#take(now)
      if (run !== undefined) runs.push(run)
      if (isAlone) break
    }
    if (runs.length === 0) return 0
    this.#taken += 1
    const call = new BatchRun(this, runs, isOwn, () => this.#freeSlot())
    // Never rejects: what the handler throws are failures of its jobs.
    void call.run(batch.run)
    return runs.length
  }

  #take(now: number): JobRun | undefined {
    const held = this.#buffer.shift()
    if (held === undefined || held.ends.lease.signal.aborted) {
      held?.onEnd?.()
      return undefined
    }
    const run = new JobRun(this, held.task, held.ends, now)
    run.onEnd = held.onEnd
    this.#running.add(run)
    this.metrics.waitSeconds.observe(Math.max(0, (this.#options.clock.now() - held.task.run_at) / 1_000))
    return run
  }

  #end(run: JobRun): void {
    const { clock, deadlines, progress } = this.#options
    deadlines.remove(run)
    progress.forget(run.id)
    this.#running.delete(run)
    const ms = clock.monotonic() - run.startedAt
    this.#pace.ran(ms)
    this.metrics.runSeconds.observe(ms / 1_000)
    if (run.batch === undefined) this.#freeSlot()
    else run.batch.ended()
    run.onEnd?.()
    if (this.#running.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #freeSlot(): void {
    this.#taken -= 1
    if (!this.#pumping) this.pump()
  }
}

/** A cancel concerns one job; a timeout, a lost lease and a shutdown concern the whole call. */
function isOwn(reason: unknown): boolean {
  return hasCode(reason, 'SLUICE_CANCELLED')
}

/** Whatever is thrown is asked, and parts of it may be getters that throw. */
function isCancel(error: unknown): boolean {
  try {
    return hasCode(error, 'SLUICE_CANCELLED')
  } catch {
    return false
  }
}
