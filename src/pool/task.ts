/**
 * One task of a pool, from submit until its function has settled.
 *
 *     waiting ──slot──▶ running ──function settled──▶ done
 *        │                 │ cancel, abort, timeout, close
 *        │                 ▼
 *        └──────────────▶ settled for the caller; the slot stays taken until the function returns or is given up
 *
 * The object is the entry of the queue, the owner of the result and what the function is handed, so that a task costs
 * one object and its promise. What only some tasks have (a timer, a listener, a key) hangs off `guards`.
 *
 * A task that finds a free slot runs in its caller's async context as it is. One that waits must keep that context: whoever
 * frees the slot would otherwise lend it another request's. It is an AsyncResource for that, by inheritance, because a
 * second object a task made a million waiting ones a fifth slower, and AsyncLocalStorage.snapshot() costs 100 times more.
 * The classes repeat a few lines because each field less, and each shape of its own, shows in the benchmark.
 */
import { AsyncResource } from 'node:async_hooks'
import { pendingResult, type AsyncResult, type ResultOwner } from '../core/async-result.ts'
import type { Timer } from '../core/clock.ts'
import { LazySignal } from '../core/lazy-signal.ts'
import { NOT_QUEUED, type QueueEntry } from './task-queue.ts'

/** What the function of a task is handed. */
export interface TaskCall {
  /** Aborts at cancel, at the task's timeout, at its caller's abort, and when `close` runs out of time. Made on first read. */
  readonly signal: AbortSignal
}

export type TaskFunction<T> = (call: TaskCall) => Promise<T> | T

export const DEFAULT_PRIORITY = 5

/** Why a task ended before its function did. */
export type EarlyEnd = 'cancelled' | 'timedOut' | 'dropped' | 'closed'

/** What a task asks of its pool. */
export interface TaskHost {
  readonly name: string
  /** The task's result is settled: take it out of the queue, or abort it, and count it. */
  giveUp(task: SubmittedTask, why: EarlyEnd, reason: unknown): void
}

/** Where a task runs, as far as the task knows. */
export interface Place {
  readonly host: TaskHost
  /** The caller has its answer already: waits for the function to stop, `graceMs` at most. */
  abandonAfter(graceMs: number): void
}

export interface Guards {
  readonly name: string | undefined
  readonly key: string | undefined
  timer: Timer | undefined
  release: (() => void) | undefined
  abort: LazySignal | undefined
}

export interface Task extends TaskCall {
  readonly name: string
  /** Undefined for a posted task, whose failure goes to the pool's `onError`. */
  readonly result: AsyncResult<unknown> | undefined
  /** As in QueueEntry. */
  readonly priority: number
  readonly arrival: number
  guards: Guards | undefined
}

/** A task with a result. */
export type SubmittedTask = DirectTask | WaitingTask
export type AnyTask = SubmittedTask | PostedTask
/** A task that can wait. */
export type QueuedTask = WaitingTask | PostedTask

/** A task that starts at once, and in its caller's context as it is. Of few fields: it is most of what a free pool costs. */
export class DirectTask implements Task, ResultOwner {
  readonly place: Place
  readonly result: AsyncResult<unknown>
  guards: Guards | undefined = undefined

  constructor(place: Place) {
    this.place = place
    this.result = pendingResult<unknown>(this)
  }
  get name(): string {
    return nameOf(this, this.place.host)
  }
  get priority(): number {
    return DEFAULT_PRIORITY
  }
  get arrival(): number {
    return NOT_QUEUED
  }
  get signal(): AbortSignal {
    return abortOf(this).signal
  }
  cancel(reason: unknown): void {
    this.place.host.giveUp(this, 'cancelled', reason)
  }
}

/** A task that waits first, and keeps its caller's context. */
export class WaitingTask extends AsyncResource implements Task, QueueEntry, ResultOwner {
  readonly host: TaskHost
  /** Undefined when it will not be started any more. */
  fn: TaskFunction<unknown> | undefined
  priority: number
  readonly result: AsyncResult<unknown>
  arrival = NOT_QUEUED
  /** Where its function runs; undefined while it waits, and when it is done. */
  place: Place | undefined = undefined
  guards: Guards | undefined = undefined

  constructor(host: TaskHost, fn: TaskFunction<unknown>, priority: number) {
    super('sluice.task')
    this.host = host
    this.fn = fn
    this.priority = priority
    this.result = pendingResult<unknown>(this)
  }
  get name(): string {
    return nameOf(this, this.host)
  }
  get signal(): AbortSignal {
    return abortOf(this).signal
  }
  cancel(reason: unknown): void {
    this.host.giveUp(this, 'cancelled', reason)
  }
}

/** A task without a result, which belongs to no request: its slot runs it in the context that the pool was made in. */
export class PostedTask implements Task, QueueEntry {
  /** Undefined when it will not be started any more. */
  fn: TaskFunction<unknown> | undefined
  arrival = NOT_QUEUED
  guards: Guards | undefined = undefined

  constructor(fn: TaskFunction<unknown>) {
    this.fn = fn
  }
  get name(): string {
    return 'post'
  }
  get priority(): number {
    return DEFAULT_PRIORITY
  }
  get result(): undefined {
    return undefined
  }
  get signal(): AbortSignal {
    return abortOf(this).signal
  }
}

/** The abort of a task, made when it is first needed. */
export function abortOf(task: Task): LazySignal {
  task.guards ??= { name: undefined, key: undefined, timer: undefined, release: undefined, abort: undefined }
  task.guards.abort ??= new LazySignal()
  return task.guards.abort
}

/** Takes the timer and the listener off. */
export function unguard(guards: Guards): void {
  guards.timer?.cancel()
  guards.release?.()
}

function nameOf(task: Task, host: TaskHost): string {
  return `${host.name}: ${task.guards?.name ?? 'submit'}`
}
