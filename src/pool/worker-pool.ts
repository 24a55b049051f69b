/**
 * WorkerPool: bounded concurrency for async functions, with a bounded queue and a policy for when it is full.
 *
 * Promises:
 * - A task that was accepted runs exactly once, or not at all and its result says why. None is lost, none hangs: a
 *   result settles when its function does, at its timeout, at its abort, or at `close`.
 * - At most `workers` functions run at once, but for those given up (below).
 * - First in, first out within a priority; ageing lets 64 later tasks overtake per level of priority, never more.
 * - A task runs in the async context (request id, trace) of whoever submitted it.
 *
 * A task that is cancelled, aborted or timed out while it runs settles for its caller at once, and the signal that its
 * function was handed aborts. Its slot stays taken until the function returns, so that ignoring the signal does not
 * multiply the work, or until `abandonAfter` has passed, so that a function that never settles cannot wedge the pool.
 *
 * When `maxWaiting` tasks wait, `overflow` decides:
 *   reject       the new task rejects with SLUICE_POOL_FULL; `post` returns false
 *   wait         `submit` holds the task at the door, pending, with its place in the order; at most `maxBlocked` are
 *                held, then SLUICE_POOL_FULL. `post` cannot wait and returns false: await `room()` before it
 *   drop-oldest  the oldest of the least urgent waiting tasks rejects with SLUICE_DROPPED and the new one takes its
 *                place; the new one itself is dropped when it is less urgent than all that wait
 *   drop-newest  the new task rejects with SLUICE_DROPPED; `post` returns false
 *   conflate     at any fill, a task with the `key` of a waiting one replaces it (the old one rejects with
 *                SLUICE_DROPPED); a full queue rejects other tasks
 */
import { AsyncResult, fail } from '../core/async-result.ts'
import { onAbort, waitOrAbort } from '../core/abort.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { PoolCore } from './pool-core.ts'
import {
  checkOptions,
  checkWorkers,
  closedError,
  closeTimeoutError,
  faultOfTask,
  fullError,
  refusalError,
  type CheckedOptions,
  type TaskOptions,
  type WorkerPoolOptions,
} from './pool-options.ts'
import {
  DEFAULT_PRIORITY,
  DirectTask,
  WaitingTask,
  PostedTask,
  unguard,
  type Guards,
  type SubmittedTask,
  type TaskFunction,
} from './task.ts'

export type { OverflowPolicy, TaskOptions, WorkerPoolOptions } from './pool-options.ts'
export type { TaskCall, TaskFunction } from './task.ts'

/** Counts since the pool was made. `submitted` is the sum of the seven that follow it, and of what waits and runs. */
export interface PoolStats {
  readonly submitted: number
  readonly completed: number
  readonly failed: number
  /** By `cancel` or the caller's signal. */
  readonly cancelled: number
  readonly timedOut: number
  /** Refused because the queue was full or the pool closed. */
  readonly rejected: number
  /** Dropped by the overflow policy. */
  readonly dropped: number
  /** Ended by `close`. */
  readonly closed: number
  /** Functions that ignored their signal for longer than `abandonAfter`. They are among the others too. */
  readonly abandoned: number
  /** Waiting times that were measured, of one waiting task in 64 or fewer. */
  readonly waitSamples: number
  /** Sum of those, in milliseconds. */
  readonly waitTimeMs: number
}

export interface CloseOptions {
  /** How long what runs may go on. @default '10s' */
  readonly timeout?: Duration
  /** Runs what waits too, instead of rejecting it, as far as the timeout allows. @default false */
  readonly finishWaiting?: boolean
}

const CLOSE_TIMEOUT = '10s'

export class WorkerPool implements AsyncDisposable {
  readonly #options: CheckedOptions
  readonly #core: PoolCore
  #closing: Promise<void> | undefined

  /** Throws SLUICE_INVALID_ARGUMENT. Starts nothing. */
  constructor(options: WorkerPoolOptions) {
    this.#options = checkOptions(options)
    this.#core = new PoolCore(this.#options)
  }

  get name(): string {
    return this.#options.name
  }
  /** Functions that may run at once. */
  get capacity(): number {
    return this.#core.workers
  }
  /** Functions that run, those included that hold their slot although their task was given up. */
  get running(): number {
    return this.#core.running
  }
  /** Slots that are free. */
  get free(): number {
    return Math.max(0, this.#core.workers - this.#core.running)
  }
  /** Tasks in the queue, at most `maxWaiting`. */
  get waiting(): number {
    return Math.min(this.#core.queue.length, this.#options.maxWaiting)
  }
  /** Tasks held at the door of a full queue, with `overflow: 'wait'`; at most `maxBlocked`. */
  get blocked(): number {
    return Math.max(0, this.#core.queue.length - this.#options.maxWaiting)
  }
  /** True from the first `close`. */
  get closed(): boolean {
    return this.#core.closing
  }

  stats(): PoolStats {
    const core = this.#core
    return {
      submitted: core.submitted,
      completed: core.completed,
      failed: core.failures,
      cancelled: core.cancelled,
      timedOut: core.timedOut,
      rejected: core.rejected,
      dropped: core.dropped,
      closed: core.closed,
      abandoned: core.abandonedSlots,
      waitSamples: core.waits.count,
      waitTimeMs: core.waits.totalMs,
    }
  }

  /**
   * Runs `fn` in a slot, at once when one is free. Never throws: what is wrong is in the result, which rejects with
   * what `fn` throws, SLUICE_POOL_FULL, SLUICE_DROPPED, SLUICE_POOL_CLOSED, SLUICE_TIMEOUT, SLUICE_CANCELLED,
   * SLUICE_INVALID_ARGUMENT, or the signal's own reason.
   */
  submit<T>(fn: TaskFunction<T>, options?: TaskOptions): AsyncResult<T> {
    const fault = faultOfTask(this.name, fn, options)
    if (fault !== undefined) return AsyncResult.reject(fault)
    const core = this.#core
    core.submitted += 1
    if (core.isFree && options?.signal?.aborted !== true) {
      const slot = core.takeSlot()
      const task = new DirectTask(slot)
      if (options !== undefined) this.#guard(task, options)
      slot.start(task, fn)
      return task.result as AsyncResult<T>
    }
    const task = new WaitingTask(core, fn, options?.priority ?? DEFAULT_PRIORITY)
    if (options === undefined || this.#guard(task, options)) this.#admit(task)
    return task.result as AsyncResult<T>
  }

  /**
   * Runs `fn` without a result: no promise is made, and its failure goes to `onError`. For work that belongs to no
   * request: it runs in the async context that the pool was made in (`submit` keeps the caller's). False when the task
   * was not accepted: the queue is full, or the pool closed.
   */
  post(fn: TaskFunction<unknown>): boolean {
    const fault = faultOfTask(this.name, fn, undefined)
    if (fault !== undefined) throw fault
    const core = this.#core
    core.submitted += 1
    return core.admitPosted(new PostedTask(fn)) === undefined
  }

  /**
   * Resolves when the pool would take a task, for producers that should slow down: `await pool.room()` before `post`.
   * A hint: somebody else may take the place first. Rejects with SLUICE_POOL_FULL when `maxBlocked` callers wait here,
   * SLUICE_POOL_CLOSED, or the signal's reason.
   */
  async room(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { room, places, running, queue } = this.#core
    options.signal?.throwIfAborted()
    if (this.closed) throw closedError(this.name)
    if (places > 0) return
    if (room.waiting >= this.#options.maxBlocked) throw fullError(`${this.name}: room`, running, queue.length)
    await room.wait(options.signal)
  }

  /** Changes the number of functions that run at once. Fewer: what runs is left to finish. */
  resize(workers: number): void {
    this.#core.resize(checkWorkers(this.name, workers))
  }

  /** Resolves when nothing runs and nothing waits. Intake goes on, so a busy pool may never get there. */
  async drain(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    options.signal?.throwIfAborted()
    await waitOrAbort(this.#core.idle(), options.signal)
  }

  /**
   * Takes no more tasks and rejects what waits with SLUICE_POOL_CLOSED, at once. What runs may finish until the timeout;
   * then its results reject with SLUICE_POOL_CLOSED, its signals abort, and close rejects with SLUICE_TIMEOUT. Repeated
   * calls get the first one's promise. Throws SLUICE_INVALID_ARGUMENT for a timeout that is none.
   */
  close(options: CloseOptions = {}): Promise<void> {
    const { timeout = CLOSE_TIMEOUT, finishWaiting = false } = options
    const timeoutMs = durationMs(timeout, `${this.name}: close timeout`)
    this.#closing ??= this.#close(timeoutMs, finishWaiting)
    return this.#closing
  }

  /** Closes; functions that did not stop in time are reported to `onError` instead of thrown. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.close()
    } catch (error) {
      this.#core.report(error)
    }
  }

  async #close(ms: number, finishWaiting: boolean): Promise<void> {
    const core = this.#core
    const error = closedError(this.name)
    core.closing = true
    core.room.close(error)
    if (!finishWaiting) core.endWaiting(error)
    if (await this.#idleWithin(ms)) return
    const stuck = core.running
    core.endWaiting(error)
    core.endRunning(error)
    throw closeTimeoutError(this.name, ms, stuck)
  }

  async #idleWithin(ms: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>()
    const timer = this.#options.clock.setTimer(() => late.resolve(false), ms)
    try {
      return await Promise.race([this.#core.idle().then(() => true), late.promise])
    } finally {
      timer.cancel()
    }
  }

  #admit(task: WaitingTask): void {
    const refusal = this.#core.admit(task)
    if (refusal === undefined) return
    if (task.guards !== undefined) unguard(task.guards)
    fail(task.result, refusalError(this.#core, task.name, refusal))
  }

  /** Sets the timer and the listener. False when the signal has aborted: the task is settled. */
  #guard(task: SubmittedTask, options: TaskOptions): boolean {
    const { signal, timeout, name } = options
    const core = this.#core
    const key = this.#options.overflow === 'conflate' ? options.key : undefined
    const guards: Guards = { name, key, timer: undefined, release: undefined, abort: undefined }
    task.guards = guards
    if (signal?.aborted === true) {
      core.end(task, 'cancelled', signal.reason)
      return false
    }
    if (timeout !== undefined) {
      const timeoutMs = durationMs(timeout, 'timeout')
      guards.timer = this.#options.clock.setTimer(() => core.expire(task, timeoutMs), timeoutMs)
    }
    if (signal !== undefined)
      guards.release = onAbort(signal, (reason) => core.end(task, 'cancelled', reason))
    return true
  }
}
