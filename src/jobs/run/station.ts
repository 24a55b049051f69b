/** Where the jobs of one name are run in this process: its handler, its slots, and tasks that are claimed ahead. */
import { backoffMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import type { Deadlines } from '../../core/deadlines.ts'
import { hasCode, SluiceError, toError } from '../../core/errors.ts'
import { Ring } from '../../core/ring.ts'
import { moment } from '../../engine/moments.ts'
import type { HeldTask } from '../../engine/tasks/task.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { JobHandler } from '../api.ts'
import type { Job } from '../job.ts'
import { isNoRetry } from '../no-retry.ts'
import type { Ends } from './ends.ts'
import { errorText } from './error-text.ts'
import { GRACE_MS, JobRun, type RunHost } from './job-run.ts'
import { Pace } from './pace.ts'

export interface StationOptions {
  readonly job: Job<never, unknown>
  readonly handler: JobHandler<unknown>
  readonly concurrency: number
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly deadlines: Deadlines
  /** A slot or place is free. */
  readonly onRoom: () => void
}

interface Held {
  readonly task: HeldTask
  readonly ends: Ends
}

/** Handlers that answer at once run in a row for so long, before others have a turn. */
const TURN_MS = 10

export class Station implements RunHost {
  readonly job: Job<never, unknown>
  readonly handler: JobHandler<unknown>
  readonly log: Logger
  readonly #options: StationOptions
  readonly #buffer = new Ring<Held>()
  readonly #running = new Set<JobRun>()
  readonly #pace: Pace
  #pumping = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(options: StationOptions) {
    this.#options = options
    this.job = options.job
    this.handler = options.handler
    this.log = options.log
    this.#pace = new Pace(options.concurrency)
  }

  get running(): number {
    return this.#running.size
  }
  get buffered(): number {
    return this.#buffer.length
  }
  /** Tasks that it would take now. */
  get room(): number {
    const free = this.#options.concurrency - this.#running.size
    return Math.max(0, free + this.#pace.ahead - this.#buffer.length)
  }
  /** Worth a claim: slots stand empty, or what is held ahead is half used up. */
  get isHungry(): boolean {
    const free = this.#options.concurrency - this.#running.size
    return free > this.#buffer.length || this.#buffer.length * 2 < this.#pace.ahead
  }

  accept(task: HeldTask, ends: Ends): void {
    this.#buffer.push({ task, ends })
  }

  /** Starts what there is room for. */
  readonly pump = (): void => {
    if (this.#pumping) return
    this.#pumping = true
    const { clock, concurrency } = this.#options
    const from = clock.monotonic()
    let now = from
    let started = 0
    while (this.#running.size < concurrency) {
      const held = this.#buffer.shift()
      if (held === undefined) break
      if (held.ends.lease.signal.aborted) continue
      const run = new JobRun(this, held.task, held.ends, now)
      this.#running.add(run)
      run.start()
      started += 1
      now = clock.monotonic()
      if (now - from > TURN_MS && this.#buffer.length > 0) {
        setImmediate(this.pump)
        break
      }
    }
    this.#pumping = false
    if (started > 0) this.#pace.started(started, now - from)
    if (this.isHungry) this.#options.onRoom()
  }

  watch(run: JobRun): void {
    this.#options.deadlines.add(run, this.job.timeoutMs, this.#options.clock.monotonic())
  }

  watchGrace(run: JobRun): void {
    this.#options.deadlines.remove(run)
    this.#options.deadlines.add(run, GRACE_MS, this.#options.clock.monotonic())
  }

  timeoutError(): SluiceError {
    return new SluiceError(
      'SLUICE_TIMEOUT',
      `job "${this.job.name}" was not done after ${this.job.timeoutMs} ms`,
      { retryable: true },
    )
  }

  progress(_run: JobRun, _fraction: number, _note: string | undefined): void {}

  done(run: JobRun, value: unknown): void {
    const { id, attempt } = run.task
    const keepMs = this.job.keepResultMs
    moment('jobs.handled', 1)
    run.ends.done.add({
      id,
      attempt,
      keepMs,
      ...(keepMs > 0 ? { result: JSON.stringify(value) } : {}),
    })
    this.#end(run)
  }

  failed(run: JobRun, error: unknown): void {
    const { random, log } = this.#options
    const { id, attempt } = run.task
    const isFinal = isNoRetry(error) || hasCode(error, 'SLUICE_CANCELLED')
    const delay = isFinal ? -1 : backoffMs(attempt, random(), this.job.backoff)
    log.debug({ err: toError(error), job: this.job.name, jobId: id, attempt }, 'an attempt failed')
    run.ends.failed.add({ id, attempt, delay, error: errorText(error) })
    this.#end(run)
  }

  /** Gives back what has not begun. */
  clear(): void {
    for (let held = this.#buffer.shift(); held !== undefined; held = this.#buffer.shift()) {
      held.ends.released.add({ id: held.task.id, attempt: held.task.attempt, delay: 0 })
    }
  }

  abort(reason: unknown): void {
    for (const run of this.#running) run.abort(reason)
  }

  /** Resolves when nothing runs. */
  idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers()
    return this.#idle.promise
  }

  #end(run: JobRun): void {
    const { clock, deadlines } = this.#options
    deadlines.remove(run)
    this.#running.delete(run)
    this.#pace.ran(clock.monotonic() - run.startedAt)
    if (!this.#pumping) this.pump()
    if (this.#running.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }
}
