/**
 * A place to run in: one task at a time. The place is given back here and nowhere else, whether the function returns,
 * throws, rejects or is given up.
 *
 * The two callbacks are made once a slot, so that a task costs no closure.
 */
import type { AsyncResource } from 'node:async_hooks'
import { isThenable } from '../core/async-result.ts'
import type { Clock, Timer } from '../core/clock.ts'
import {
  WaitingTask,
  type AnyTask,
  type DirectTask,
  type Place,
  type QueuedTask,
  type TaskFunction,
  type TaskHost,
} from './task.ts'

export interface SlotHost extends TaskHost {
  /** Of no request: where posted tasks run. */
  readonly context: AsyncResource
  readonly clock: Clock
  completedTask(task: AnyTask, value: unknown): void
  failedTask(task: AnyTask, error: unknown): void
  /** The next task for this slot; undefined gives the slot back. */
  next(slot: Slot): QueuedTask | undefined
  /** The function did not stop in time: the slot is lost to it, and the pool may use another. */
  abandoned(slot: Slot): void
}

export class Slot implements Place {
  readonly host: SlotHost
  #task: AnyTask | undefined
  #grace: Timer | undefined
  #abandoned = false
  readonly #fulfilled = (value: unknown): void => {
    const task = this.#finish()
    if (task === undefined) return
    this.host.completedTask(task, value)
    this.#runAll(this.host.next(this))
  }
  readonly #rejected = (error: unknown): void => {
    const task = this.#finish()
    if (task === undefined) return
    this.host.failedTask(task, error)
    this.#runAll(this.host.next(this))
  }

  constructor(host: SlotHost) {
    this.host = host
  }

  get task(): AnyTask | undefined {
    return this.#task
  }

  /** Runs a task in the caller's context, and then whatever waits. */
  start(task: DirectTask, fn: TaskFunction<unknown>): void {
    if (!this.#isUnderWay(task, fn, undefined)) this.#runAll(this.host.next(this))
  }

  /** Runs a task that may have waited, and then whatever waits. */
  run(task: QueuedTask): void {
    this.#runAll(task)
  }

  abandonAfter(graceMs: number): void {
    this.#grace ??= this.host.clock.setTimer(() => this.abandon(), graceMs, { keepAlive: false })
  }

  abandon(): void {
    if (this.#abandoned || this.#task === undefined) return
    this.#abandoned = true
    this.#grace?.cancel()
    this.host.abandoned(this)
  }

  /** Undefined when the task had been given up: what it says now is too late. */
  #finish(): AnyTask | undefined {
    const task = this.#task
    if (this.#abandoned) return undefined
    if (this.#grace !== undefined) {
      this.#grace.cancel()
      this.#grace = undefined
    }
    if (task instanceof WaitingTask) task.place = undefined
    this.#task = undefined
    return task
  }

  /** Runs tasks until one is under way, or none is left. */
  #runAll(first: QueuedTask | undefined): void {
    for (let task = first; task !== undefined; task = this.host.next(this)) {
      const fn = task.fn as TaskFunction<unknown>
      task.fn = undefined
      if (task instanceof WaitingTask) {
        task.place = this
        if (this.#isUnderWay(task, fn, task)) return
      } else if (this.#isUnderWay(task, fn, this.host.context)) return
    }
  }

  /** Calls the function; false when it is done, and said so, already. */
  #isUnderWay(task: AnyTask, fn: TaskFunction<unknown>, context: AsyncResource | undefined): boolean {
    this.#task = task
    let outcome: unknown
    try {
      outcome = context === undefined ? fn(task) : context.runInAsyncScope(fn, undefined, task)
      if (outcome instanceof Promise) {
        outcome.then(this.#fulfilled, this.#rejected)
        return true
      }
      if (isThenable(outcome)) {
        Promise.resolve(outcome).then(this.#fulfilled, this.#rejected)
        return true
      }
    } catch (error) {
      this.#finish()
      this.host.failedTask(task, error)
      return false
    }
    this.#finish()
    this.host.completedTask(task, outcome)
    return false
  }
}
