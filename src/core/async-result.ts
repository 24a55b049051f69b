/**
 * AsyncResult: the handle of a started operation. It is a native promise that can also be asked, waited for with a
 * limit, and cancelled.
 *
 * `constructor` and species are `Promise`, so that `await` and `Promise.all` keep the engine's fast path, and what
 * `then` returns is a plain promise. The status is written by whoever settles the result: a `then` of its own would
 * cost as much again as the whole handle, and would hide from Node that nobody else looks at a failure.
 *
 * For parts of sluice that make one per call, the quick way is one object and no closure of theirs:
 *
 *     class Call { readonly result = pendingResult<T>(this); name = '…'; cancel(reason) { … } }   // a ResultOwner
 *     fulfil(call.result, value)   fail(call.result, error)   abandon(call.result, reason)
 *
 * Each returns false when the result had settled before. `value` must not be a promise.
 */
import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'
import { onAbort } from './abort.ts'
import { durationMs, type Duration } from './duration.ts'
import { SluiceError } from './errors.ts'
import { LazySignal } from './lazy-signal.ts'

/** `cancelled`: it was told to stop, by `cancel` or by the caller's signal. */
export type AsyncResultStatus = 'pending' | 'fulfilled' | 'rejected' | 'cancelled'

/** Whoever does the work behind a result. */
export interface ResultOwner {
  /** For logs and errors: what was started, such as `cache.get`. */
  readonly name?: string
  /** Stop the work; the result has been rejected with the reason already. Must not throw. */
  cancel?(reason: unknown): void
}

export interface WaitOptions {
  /** Ends the wait, not the operation. */
  readonly signal?: AbortSignal
  /** @default the system's */
  readonly clock?: Clock
}

export interface StartOptions<T> {
  readonly signal?: AbortSignal | undefined
  /** Receives a value that came after its result was given up: nobody else would release what it holds. Must not throw. */
  readonly discard?: (value: T) => void
}

/** What the function of a started operation is handed. */
export interface StartedCall {
  /** Aborts when the operation is cancelled. Made on first read, so read it only if you use it. */
  readonly signal: AbortSignal
}

type Resolve<T> = (value: T | PromiseLike<T>) => void
type Reject = (reason: unknown) => void

/** What only this module's functions may do to a result; filled in by the class. */
const friends = {} as {
  fulfil: <T>(result: AsyncResult<T>, value: T) => boolean
  fail: (result: AsyncResult<unknown>, error: unknown) => boolean
  abandon: (result: AsyncResult<unknown>, reason: unknown) => boolean
}

/** Found on results of another copy of the package too. */
const BRAND = Symbol.for('sluice.AsyncResult')

export class AsyncResult<T> extends Promise<T> {
  #status: AsyncResultStatus = 'pending'
  /** Typed without T, so that a result of a string is a result of something. */
  readonly #resolve: (value: never) => void
  readonly #reject: Reject
  readonly #owner: ResultOwner | undefined

  /**
   * `executor` as for a promise; undefined where the parts of sluice settle the result themselves. To start work of
   * your own use `AsyncResult.start`.
   */
  constructor(executor: ((resolve: Resolve<T>, reject: Reject) => void) | undefined, owner?: ResultOwner) {
    let resolveNative!: Resolve<T>
    let rejectNative!: Reject
    super((resolve, reject) => {
      resolveNative = resolve
      rejectNative = reject
    })
    this.#resolve = resolveNative
    this.#reject = rejectNative
    this.#owner = owner
    if (executor !== undefined) execute(this, executor)
  }

  /**
   * Runs `fn` at once and hands out its result. `cancel`, and an abort of `options.signal`, reject the result at once
   * and abort the signal that `fn` is handed; what `fn` then returns goes to `options.discard`, for what has to be
   * released, and what it throws is ignored.
   */
  static start<T>(
    name: string,
    fn: (call: StartedCall) => T | PromiseLike<T>,
    options: StartOptions<Awaited<T>> = {},
  ): AsyncResult<Awaited<T>> {
    return new StartedWork<T>(name, options.discard).run(fn, options.signal)
  }

  /** A result that is fulfilled already, or follows the promise given. */
  static override resolve(): AsyncResult<void>
  static override resolve<T>(value: T | PromiseLike<T>): AsyncResult<Awaited<T>>
  static override resolve<T>(value?: T | PromiseLike<T>): AsyncResult<Awaited<T>> {
    return new AsyncResult((resolve) => resolve(value as Awaited<T>))
  }

  /** A result that is rejected already. */
  static override reject<T = never>(reason?: unknown): AsyncResult<T> {
    return new AsyncResult<T>((_resolve, reject) => reject(reason))
  }

  /** What was started, such as `cache.get`. */
  get name(): string {
    return this.#owner?.name ?? 'operation'
  }

  get status(): AsyncResultStatus {
    return this.#status
  }

  /** True once it is fulfilled, rejected or cancelled. */
  get isDone(): boolean {
    return this.#status !== 'pending'
  }

  /** The same promise, for those who prefer a verb. */
  wait(): Promise<T> {
    return this
  }

  /**
   * Waits no longer than `limit` (milliseconds, or a string such as `'5s'`): then it rejects with SLUICE_TIMEOUT while
   * the operation goes on, and may be waited for again.
   */
  async waitWithTimeout(limit: Duration, options: WaitOptions = {}): Promise<T> {
    const ms = durationMs(limit, 'waitWithTimeout')
    const { signal, clock = systemClock } = options
    const ended = Promise.withResolvers<never>()
    const timer = clock.setTimer(() => ended.reject(notDoneYet(this.name, ms)), ms)
    const release = onAbort(signal, ended.reject)
    try {
      return await Promise.race([this, ended.promise])
    } finally {
      timer.cancel()
      release()
    }
  }

  /**
   * Asks the operation to stop. The result rejects at once with `reason`, SLUICE_CANCELLED where none is given, also
   * when the work behind it cannot be stopped. False when it was done before. A cancelled result that nobody awaits is
   * not reported as an unhandled failure: its owner asked for it.
   */
  cancel(reason?: unknown): boolean {
    if (this.#status !== 'pending') return false
    const why = reason ?? new SluiceError('SLUICE_CANCELLED', `"${this.name}" was cancelled`)
    abandon(this, why)
    this.#owner?.cancel?.(why)
    return true
  }

  static {
    friends.fulfil = (result, value) => {
      if (result.#status !== 'pending') return false
      result.#status = 'fulfilled'
      result.#resolve(value as never)
      return true
    }
    friends.fail = (result, error) => {
      if (result.#status !== 'pending') return false
      result.#status = 'rejected'
      result.#reject(error)
      return true
    }
    friends.abandon = (result, reason) => {
      if (result.#status !== 'pending') return false
      result.#status = 'cancelled'
      result.#reject(reason)
      result.then(undefined, ignore)
      return true
    }
  }
}
void Object.defineProperty(AsyncResult.prototype, 'constructor', { value: Promise })
void Object.defineProperty(AsyncResult.prototype, BRAND, { value: true })
void Object.defineProperty(AsyncResult, Symbol.species, { get: () => Promise })

/** Settles a pending result with a value that is no promise. False when it had settled before. */
export const fulfil = friends.fulfil
/** Rejects a pending result. False when it had settled before. */
export const fail = friends.fail
/** Rejects a pending result that its caller gave up: `cancelled`, and never reported as unhandled. */
export const abandon = friends.abandon

/** A result that its owner settles with `fulfil`, `fail` or `abandon`. The cheapest way to make one. */
export function pendingResult<T>(owner: ResultOwner | undefined): AsyncResult<T> {
  return new AsyncResult<T>(undefined, owner)
}

/** Is this a handle of a started operation, also one of another copy of the package? */
export function isAsyncResult(value: unknown): value is AsyncResult<unknown> {
  return value instanceof Promise && BRAND in value
}

/** Work of the user's, started by `AsyncResult.start`. */
class StartedWork<T> implements ResultOwner, StartedCall {
  readonly name: string
  readonly #abort = new LazySignal()
  readonly #result: AsyncResult<Awaited<T>>
  readonly #discard: ((value: Awaited<T>) => void) | undefined
  #release: () => void = ignore

  constructor(name: string, discard: ((value: Awaited<T>) => void) | undefined) {
    this.name = name
    this.#discard = discard
    this.#result = pendingResult(this)
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  cancel(reason: unknown): void {
    this.#release()
    this.#abort.abort(reason)
  }

  run(
    fn: (call: StartedCall) => T | PromiseLike<T>,
    signal: AbortSignal | undefined,
  ): AsyncResult<Awaited<T>> {
    this.#release = onAbort(signal, (reason) => {
      this.#abort.abort(reason)
      abandon(this.#result, reason)
    })
    if (!this.#result.isDone) void this.#follow(fn)
    return this.#result
  }

  async #follow(fn: (call: StartedCall) => T | PromiseLike<T>): Promise<void> {
    try {
      const value = await fn(this)
      if (!fulfil(this.#result, value)) this.#discard?.(value)
    } catch (error) {
      fail(this.#result, error)
    } finally {
      this.#release()
    }
  }
}

/** Runs an executor with the rules of a promise: the first call counts, a throw rejects. */
function execute<T>(result: AsyncResult<T>, executor: (resolve: Resolve<T>, reject: Reject) => void): void {
  let called = false
  const resolve: Resolve<T> = (value) => {
    if (called) return
    called = true
    if (!isThenable(value)) {
      fulfil(result, value)
      return
    }
    Promise.resolve(value).then(
      (settled) => fulfil(result, settled),
      (error: unknown) => fail(result, error),
    )
  }
  const reject: Reject = (error) => {
    if (called) return
    called = true
    fail(result, error)
  }
  try {
    executor(resolve, reject)
  } catch (error) {
    reject(error)
  }
}

/** Is this something to wait for, rather than a value? */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value !== null &&
    (typeof value === 'object' || typeof value === 'function') &&
    'then' in value &&
    typeof value.then === 'function'
  )
}

function notDoneYet(name: string, ms: number): SluiceError {
  return new SluiceError('SLUICE_TIMEOUT', `"${name}" was not done after ${ms} ms; it goes on`, {
    operation: name,
    retryable: true,
    details: { timeoutMs: ms },
  })
}

function ignore(): void {}
