/**
 * The inside of a worker pool: who runs, who waits, who goes when there is no room. `WorkerPool` is the outside.
 *
 * Invariant: while tasks wait, all slots are taken. Every change that frees a slot or a place keeps it.
 *
 * Slots and tasks call the methods of this class, not closures over one pool: code that was compiled around the closures
 * of one pool is thrown away with that pool, and processes that make many pools kept recompiling.
 */
import { AsyncResource } from 'node:async_hooks'
import { abandon, fail, fulfil } from '../core/async-result.ts'
import type { Clock } from '../core/clock.ts'
import { toError, type SluiceError } from '../core/errors.ts'
import { closedError, droppedError, timeoutError, type CheckedOptions, type Refusal } from './pool-options.ts'
import { Room } from './room.ts'
import { Slot, type SlotHost } from './slot.ts'
import { TaskQueue } from './task-queue.ts'
import {
  abortOf,
  unguard,
  WaitingTask,
  PostedTask,
  type QueuedTask,
  type EarlyEnd,
  type AnyTask,
  type SubmittedTask,
  type TaskHost,
} from './task.ts'
import { WaitSample } from './wait-sample.ts'

export class PoolCore implements TaskHost, SlotHost {
  readonly name: string
  readonly clock: Clock
  readonly queue = new TaskQueue<QueuedTask>()
  readonly context = new AsyncResource('sluice.pool')
  readonly room = new Room(() => this.places)
  readonly waits: WaitSample
  readonly #options: CheckedOptions
  /** Waiting tasks by key, where the policy is to conflate. */
  readonly #byKey: Map<string, WaitingTask> | undefined
  /** Tasks that `submit` may queue, those held at the door included. */
  readonly #doorLimit: number
  /** All slots in use or at rest; abandoned ones are gone from here. */
  readonly #slots = new Set<Slot>()
  readonly #resting: Slot[] = []
  #workers: number
  #running = 0
  #idle: PromiseWithResolvers<void> | undefined
  closing = false
  submitted = 0
  completed = 0
  failures = 0
  cancelled = 0
  timedOut = 0
  rejected = 0
  dropped = 0
  closed = 0
  abandonedSlots = 0

  constructor(options: CheckedOptions) {
    this.#options = options
    this.name = options.name
    this.clock = options.clock
    this.waits = new WaitSample(options.clock)
    this.#workers = options.workers
    this.#doorLimit = options.maxWaiting + (options.overflow === 'wait' ? options.maxBlocked : 0)
    this.#byKey = options.overflow === 'conflate' ? new Map() : undefined
  }

  get workers(): number {
    return this.#workers
  }
  get running(): number {
    return this.#running
  }
  /** Tasks that would be accepted now. */
  get places(): number {
    return (
      Math.max(0, this.#options.maxWaiting - this.queue.length) + Math.max(0, this.#workers - this.#running)
    )
  }

  /** Is there a slot for a task to start in at once? */
  get isFree(): boolean {
    return this.#running < this.#workers && !this.closing
  }

  /** A slot, to start a task in at once. Only while `isFree`. */
  takeSlot(): Slot {
    this.#running += 1
    const slot = this.#resting.pop()
    if (slot !== undefined) return slot
    const added = new Slot(this)
    this.#slots.add(added)
    return added
  }

  /** Queues a task that was just made; otherwise counts it as refused and says why. */
  admit(task: WaitingTask): Refusal | undefined {
    return this.#enqueue(task, this.#doorLimit)
  }

  admitPosted(task: PostedTask): Refusal | undefined {
    if (!this.isFree) return this.#enqueue(task, this.#options.maxWaiting)
    this.takeSlot().run(task)
    return undefined
  }

  #enqueue(task: QueuedTask, limit: number): Refusal | undefined {
    if (this.closing) {
      this.rejected += 1
      return 'closed'
    }
    const key = this.#keyOf(task)
    if (key !== undefined && this.#conflate(key, task as WaitingTask)) return undefined
    if (this.queue.length >= limit && !this.#makeRoom(task)) return this.#refuse()
    this.queue.push(task)
    if (key !== undefined) this.#byKey?.set(key, task as WaitingTask)
    this.waits.began(task)
    return undefined
  }

  /** Ends a task before its function did, unless it is settled already. */
  end(task: SubmittedTask, why: EarlyEnd, reason: unknown): void {
    const settle = why === 'cancelled' ? abandon : fail
    if (!settle(task.result, reason)) return
    this.giveUp(task, why, reason)
  }

  expire(task: SubmittedTask, timeoutMs: number): void {
    this.end(task, 'timedOut', timeoutError(task.name, timeoutMs, task.arrival >= 0))
  }

  giveUp(task: SubmittedTask, why: EarlyEnd, reason: unknown): void {
    this[why] += 1
    if (task.guards !== undefined) unguard(task.guards)
    if (task.arrival >= 0) {
      const queued = task as QueuedTask
      this.queue.remove(queued)
      this.#left(queued, false)
    }
    if (task.place === undefined) {
      if (task instanceof WaitingTask) task.fn = undefined
      return
    }
    task.place.abandonAfter(this.#options.abandonAfterMs)
    abortOf(task).abort(reason)
  }

  resize(workers: number): void {
    this.#workers = workers
    while (this.#resting.length > workers) this.#slots.delete(this.#resting.pop() as Slot)
    this.#pump()
  }

  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void> {
    if (this.#running === 0 && this.queue.length === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers<void>()
    return this.#idle.promise
  }

  /** As `giveUp`, for a task that nobody holds a result of. */
  #endPosted(task: PostedTask, reason: SluiceError): void {
    this.closed += 1
    task.fn = undefined
    if (task.guards !== undefined) abortOf(task).abort(reason)
  }

  /** Rejects all that wait. */
  endWaiting(error: SluiceError): void {
    let posted = 0
    for (let task = this.queue.shift(); task !== undefined; task = this.queue.shift()) {
      this.#left(task, false)
      if (task instanceof PostedTask) {
        posted += 1
        this.#endPosted(task, error)
      } else this.end(task, 'closed', error)
    }
    // Nobody holds a result of these, so they must be spoken of here.
    if (posted > 0) this.report(closedError(this.name, `${posted} posted tasks were not run`))
  }

  /** Rejects and aborts all that run, and gives their slots up. */
  endRunning(error: SluiceError): void {
    for (const slot of this.#slots) {
      const { task } = slot
      if (task instanceof PostedTask) this.#endPosted(task, error)
      else if (task !== undefined) this.end(task, 'closed', error)
      slot.abandon()
    }
  }

  completedTask(task: AnyTask, value: unknown): void {
    if (task.guards !== undefined) unguard(task.guards)
    if (task.result === undefined || fulfil(task.result, value)) this.completed += 1
  }

  failedTask(task: AnyTask, error: unknown): void {
    if (task.guards !== undefined) unguard(task.guards)
    if (task.result === undefined) {
      this.failures += 1
      this.report(error)
    } else if (fail(task.result, error)) this.failures += 1
  }

  next(slot: Slot): QueuedTask | undefined {
    if (this.#running <= this.#workers) {
      const task = this.queue.shift()
      if (task !== undefined) {
        this.#left(task, true)
        return task
      }
      this.#resting.push(slot)
    } else this.#slots.delete(slot)
    this.#freed()
    return undefined
  }

  abandoned(slot: Slot): void {
    this.#slots.delete(slot)
    this.abandonedSlots += 1
    this.#freed()
    this.#pump()
  }

  report(error: unknown): void {
    const failure = toError(error)
    const { onError } = this.#options
    if (onError === undefined) {
      process.emitWarning(failure, { detail: `in pool "${this.name}"` })
      return
    }
    try {
      // Whoever filled the slot first would lend it the context of another request.
      this.context.runInAsyncScope(onError, undefined, failure, this.name)
    } catch {
      // The handler is foreign code; a failure of it must not cost the slot.
    }
  }

  /** Starts what waits while slots are free. */
  #pump(): void {
    while (this.#running < this.#workers) {
      const task = this.queue.shift()
      if (task === undefined) return
      this.#left(task, true)
      this.takeSlot().run(task)
    }
  }

  /** A slot was given back. */
  #freed(): void {
    this.#running -= 1
    if (this.room.waiting > 0) this.room.wake()
    if (this.#running > 0 || this.queue.length > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  /** A task is in the queue no more. */
  #left(task: AnyTask, started: boolean): void {
    this.waits.ended(task, started)
    const key = this.#keyOf(task)
    if (key !== undefined && this.#byKey?.get(key) === task) this.#byKey.delete(key)
    if (this.room.waiting > 0) this.room.wake()
  }

  #keyOf(task: AnyTask): string | undefined {
    return this.#byKey === undefined ? undefined : task.guards?.key
  }

  /** Puts the new task in the place of the waiting one of its key, with that one's priority. */
  #conflate(key: string, task: WaitingTask): boolean {
    const waiting = this.#byKey?.get(key)
    if (waiting === undefined) return false
    task.priority = waiting.priority
    this.queue.replace(waiting, task)
    this.#byKey?.set(key, task)
    this.waits.ended(waiting, false)
    this.end(waiting, 'dropped', droppedError(waiting.name, 'a newer task of its key replaced it'))
    return true
  }

  /** With drop-oldest: drops a waiting task that is not more urgent than the new one. */
  #makeRoom(task: AnyTask): boolean {
    if (this.#options.overflow !== 'drop-oldest') return false
    const victim = this.queue.leastUrgent()
    if (victim === undefined || victim.priority < task.priority) return false
    if (victim instanceof PostedTask) {
      this.queue.remove(victim)
      this.#left(victim, false)
      this.dropped += 1
    } else this.end(victim, 'dropped', droppedError(victim.name, 'the queue is full and it was the oldest'))
    return true
  }

  #refuse(): Refusal {
    const { overflow } = this.#options
    if (overflow === 'drop-oldest' || overflow === 'drop-newest') {
      this.dropped += 1
      return 'dropped'
    }
    this.rejected += 1
    return 'full'
  }
}
