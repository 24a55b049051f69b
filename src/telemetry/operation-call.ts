/**
 * One call of one operation, from the moment it is asked for until nothing of it is left.
 *
 *     waiting ──slot──▶ running ──body settled──▶ done
 *        ▲                │  │
 *        │ slot        retry │ deadline, cancel or abort while the body still runs
 *        │                ▼  ▼
 *        └──timer── backing-off   abandoned ──body settled, or SLOT_GRACE_MS──▶ done
 *
 * - The result settles once: with the body's value or error, at the deadline with SLUICE_TIMEOUT, at an abort by the
 *   caller with the signal's own reason, at `cancel(reason)` with the reason. Deadline and abort hold in every phase.
 * - A slot is held while `running` and `abandoned`, and given back in one place. An abandoned body keeps its slot for a
 *   while, so that a frozen server is not handed ever more calls, and loses it after SLOT_GRACE_MS, so that a body that
 *   ignores its signal and never settles cannot use up the component's slots for ever.
 * - The breaker hears of each attempt once. A deadline that passes while the body runs is a failure of the dependency;
 *   one that passes in the queue is not, nor is an abort.
 *
 * The object is the entry in the deadline list, the waiter in the slot queue, the listener on the caller's signal and
 * what the body is handed, so that a call costs one object, its promise and no closure of its own while all goes well.
 */
import { AsyncResource } from 'node:async_hooks'
import {
  abandon,
  fail,
  fulfil,
  isThenable,
  pendingResult,
  type AsyncResult,
  type ResultOwner,
} from '../core/async-result.ts'
import type { Timer } from '../core/clock.ts'
import type { DeadlineEntry, DeadlineList } from '../core/deadlines.ts'
import { hasCode } from '../core/errors.ts'
import { LazySignal } from '../core/lazy-signal.ts'
import { REFUSED, type Generation } from '../policy/breaker.ts'
import type { SlotWaiter } from '../pool/slots.ts'
import { NOT_QUEUED } from '../pool/task-queue.ts'
import { currentContext, type RequestContext } from './context.ts'
import type { Call, CallOptions, OperationSpec } from './operate.ts'
import { queueFull, timeoutOf, type Phase } from './operation-errors.ts'
import { Follower } from './operation-follower.ts'
import { retryDelay, type CallHost, type ObservedCall, type Outcome } from './operation-host.ts'
import type { ActiveSpan } from './trace.ts'

export type Body<T> = (call: Call) => Promise<T> | T

type Stopped = Exclude<Outcome, 'ok'>

/** How long an abandoned body keeps its slot. */
export const SLOT_GRACE_MS = 5_000

const DEFAULT_PRIORITY = 5

export class OperationCall<T> implements Call, ObservedCall, ResultOwner, DeadlineEntry, SlotWaiter {
  readonly spec: OperationSpec
  readonly options: CallOptions | undefined
  readonly startedAt: number
  readonly result: AsyncResult<T>
  /** Of the caller: a deadline passes outside of it, and its log line belongs to the request all the same. */
  readonly context: RequestContext | undefined = currentContext()
  readonly priority: number
  attempt = 0
  arrival = NOT_QUEUED
  deadlineAt = Infinity
  deadlineList: DeadlineList | undefined = undefined
  deadlinePrevious: DeadlineEntry | undefined = undefined
  deadlineNext: DeadlineEntry | undefined = undefined
  readonly #host: CallHost
  readonly #body: Body<T>
  readonly #span: ActiveSpan | undefined
  #phase: Phase = 'waiting'
  #timeoutMs = Infinity
  #generation: Generation = REFUSED
  #abort: LazySignal | undefined = undefined
  /** While it waits: keeps its caller's async context. */
  #callersContext: AsyncResource | undefined = undefined
  #waitingSince = 0
  #backOff: Timer | undefined = undefined
  #lastError: unknown = undefined

  constructor(
    host: CallHost,
    spec: OperationSpec,
    body: Body<T>,
    options: CallOptions | undefined,
    span: ActiveSpan | undefined,
    now: number,
  ) {
    this.#host = host
    this.#body = body
    this.#span = span
    this.spec = spec
    this.options = options
    this.priority = options?.priority ?? DEFAULT_PRIORITY
    this.startedAt = now
    this.result = pendingResult<T>(this)
  }

  get name(): string {
    return `${this.#host.component}: ${this.spec.name}`
  }

  get signal(): AbortSignal {
    this.#abort ??= new LazySignal()
    return this.#abort.signal
  }

  get remainingMs(): number {
    // Once it is abandoned, its entry in the deadline list is that of its slot.
    if (this.#phase === 'abandoned' || this.#phase === 'done') return 0
    return Math.max(0, this.startedAt + this.#timeoutMs - this.#host.clock.monotonic())
  }

  start(timeoutMs: number): void {
    const signal = this.options?.signal
    if (signal !== undefined) {
      if (signal.aborted) {
        this.handleEvent()
        return
      }
      signal.addEventListener('abort', this)
    }
    this.#timeoutMs = timeoutMs
    if (timeoutMs !== Infinity) this.#host.deadlines.add(this, timeoutMs, this.startedAt)
    this.#acquire(this.startedAt)
  }

  /** Ends a call that is not let in, or not again: then its last failure says more than why it was not repeated. */
  refuse(error: unknown): void {
    const wasTried = this.attempt > 0
    const shown = this.#host.wrap(wasTried ? this.#lastError : error, this.spec)
    if (this.#stop(wasTried ? 'error' : 'refused', shown)) fail(this.result, shown)
  }

  /** Called by the result, which rejects with the reason itself. */
  cancel(reason: unknown): void {
    this.#stop('cancelled', reason)
  }

  /** The caller's signal aborted: this object is the listener. */
  handleEvent(): void {
    const reason: unknown = this.options?.signal?.reason
    if (this.#stop('cancelled', reason)) abandon(this.result, reason)
  }

  deadlinePassed(): void {
    if (this.#phase === 'abandoned') {
      this.#giveBack()
      return
    }
    const error = timeoutOf(this, this.#host.component, this.#timeoutMs, this.#phase, this.#lastError)
    if (this.#stop('timeout', error)) fail(this.result, error)
  }

  slotGranted(): void {
    const context = this.#callersContext!
    const now = this.#host.clock.monotonic()
    this.#callersContext = undefined
    this.#host.observer.waited(now - this.#waitingSince)
    // Whoever gave the slot back is on the stack: without this the body would run in that call's context.
    context.runInAsyncScope(() => this.#run(now))
  }

  bodySucceeded(value: T): void {
    if (this.#phase !== 'running') {
      if (this.#phase === 'abandoned') this.#giveBack()
      return
    }
    const { slots, breaker, budget, clock, observer } = this.#host
    const now = clock.monotonic()
    this.#phase = 'done'
    this.#release()
    breaker?.succeeded(this.#generation, now)
    budget.succeeded()
    observer.succeeded(this, now)
    this.#span?.end()
    fulfil(this.result, value)
    slots.release()
  }

  bodyFailed(error: unknown): void {
    if (this.#phase !== 'running') {
      if (this.#phase === 'abandoned') this.#giveBack()
      return
    }
    const { breaker, slots, clock } = this.#host
    const now = clock.monotonic()
    breaker?.failed(this.#generation, error, now)
    const delayMs = retryDelay(this, error, now, this.#host)
    if (delayMs === undefined) {
      this.#phase = 'done'
      this.#end(hasCode(error, 'SLUICE_TIMEOUT') ? 'timeout' : 'error', error)
    } else {
      this.#phase = 'backing-off'
      this.#lastError = error
      this.#backOff = clock.setTimer(() => this.#again(), delayMs)
    }
    slots.release()
  }

  #acquire(now: number): void {
    const { slots, breaker } = this.#host
    this.#phase = 'waiting'
    // A queue in front of an open breaker helps nobody.
    if (breaker !== undefined && breaker.refuses(now)) {
      this.refuse(breaker.refusal(now))
    } else if (slots.tryAcquire()) {
      this.#run(now)
    } else if (slots.wait(this)) {
      // AsyncLocalStorage.snapshot() would do, and takes ten times as long as all the rest of a call.
      this.#callersContext = new AsyncResource('sluice.operation')
      this.#waitingSince = now
    } else {
      this.refuse(queueFull(this, this.#host.component, slots, this.#host.raise))
    }
  }

  #again(): void {
    this.#backOff = undefined
    this.#host.observer.retried()
    this.#acquire(this.#host.clock.monotonic())
  }

  /** Holds a slot from here on. */
  #run(now: number): void {
    const { breaker, slots } = this.#host
    if (breaker !== undefined) {
      this.#generation = breaker.enter(now)
      if (this.#generation === REFUSED) {
        this.refuse(breaker.refusal(now))
        slots.release()
        return
      }
    }
    this.#phase = 'running'
    this.attempt += 1
    let outcome: Promise<T> | T
    try {
      outcome = this.#span === undefined ? this.#body(this) : this.#span.run(() => this.#body(this))
      if (isThenable(outcome)) {
        this.#follow(outcome)
        return
      }
    } catch (error) {
      this.bodyFailed(error)
      return
    }
    this.bodySucceeded(outcome)
  }

  #follow(outcome: Promise<T>): void {
    const { followers } = this.#host
    const follower = followers.pop() ?? new Follower(followers)
    follower.follow(this, outcome)
  }

  /** Ends the work from outside the body, in whatever phase; the caller settles the result. False when it was over. */
  #stop(outcome: Stopped, error: unknown): boolean {
    const { slots, breaker, deadlines, clock } = this.#host
    switch (this.#phase) {
      case 'done':
      case 'abandoned':
        return false
      case 'waiting':
        slots.leave(this)
        this.#callersContext = undefined
        this.#phase = 'done'
        break
      case 'backing-off':
        this.#backOff?.cancel()
        this.#phase = 'done'
        break
      case 'running':
        if (outcome === 'timeout') breaker?.failed(this.#generation, error)
        else breaker?.ignored(this.#generation)
        this.#phase = 'abandoned'
        break
    }
    this.#close(outcome, error)
    if (this.#phase === 'abandoned') {
      deadlines.add(this, SLOT_GRACE_MS, clock.monotonic())
      this.#abort ??= new LazySignal()
      this.#abort.abort(error)
    }
    return true
  }

  /** Ends the result with the body's own error. */
  #end(outcome: 'error' | 'timeout', error: unknown): void {
    const shown = this.#host.wrap(error, this.spec)
    this.#close(outcome, shown)
    fail(this.result, shown)
  }

  #close(outcome: Outcome, error: unknown): void {
    this.#release()
    this.#host.observer.ended(this, outcome, error)
    this.#span?.end(error)
  }

  /** Takes the call off the deadline list and the caller's signal. */
  #release(): void {
    this.#host.deadlines.remove(this)
    this.options?.signal?.removeEventListener('abort', this)
  }

  #giveBack(): void {
    this.#phase = 'done'
    this.#host.deadlines.remove(this)
    this.#host.slots.release()
  }
}
