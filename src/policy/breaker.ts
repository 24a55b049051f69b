/**
 * Circuit breaker: stops calls to a dependency that fails, and lets a few through to see whether it is back.
 *
 *              `consecutive` failures in a row, or the failure rate of the window
 *     closed ────────────────────────────────────────────────────────────▶ open
 *        ▲                                                                 │ resetMs passed, on the next call
 *        │ `successesToClose` probes succeeded                             ▼
 *        └──────────────────────────────────────────────────────────── half-open ──a probe failed──▶ open
 *
 *     any state ──hold('open' | 'closed')──▶ held ──release()──▶ closed
 *
 * - Every change of state starts a new generation. A call reports its outcome with the generation that let it in, and
 *   an outcome of an earlier generation changes nothing: calls that began before the breaker opened cannot close it.
 * - Half-open lets `probes` through at a time. Their lease is `resetMs`, counted from the latest of them: once it has
 *   run out, those that never settled are written off and a new round begins. So no probe can wedge the breaker.
 * - An outcome that proves nothing (an abort by the caller, a mistake in the call) gives a probe's permit back.
 * - It owns no timer: `open` becomes `half-open` with the first call after `resetMs`. Time is monotonic.
 */
import { SluiceError } from '../core/errors.ts'
import { resolveBreaker, type BreakerOptions, type ResolvedBreaker } from './breaker-options.ts'
import type { BreakerState } from './breaker-state.ts'
import { FailureWindow } from './failure-window.ts'

/** Returned by `enter` for a call that may run: hand it back with the outcome. */
export type Generation = number

/** Returned by `enter` instead of a generation: the call must not run. */
export const REFUSED = -1

type Inner =
  | { readonly kind: 'closed'; failuresInARow: number }
  | { readonly kind: 'open'; readonly since: number; readonly until: number }
  | { readonly kind: 'half-open'; underWay: number; succeeded: number; leaseUntil: number }
  | { readonly kind: 'held'; readonly as: 'open' | 'closed' }

export class Breaker {
  readonly #options: ResolvedBreaker
  readonly #window: FailureWindow | undefined
  #inner: Inner = { kind: 'closed', failuresInARow: 0 }
  #generation: Generation = 0

  /** Throws SLUICE_INVALID_ARGUMENT for a number outside its range. */
  constructor(options: BreakerOptions) {
    this.#options = resolveBreaker(options)
    const { name, window } = this.#options
    this.#window = window === false ? undefined : new FailureWindow(name, window)
  }

  get state(): BreakerState {
    return { ...this.#inner }
  }

  /** Would `enter` refuse at this moment? Takes no permit. */
  refuses(now: number = this.#options.clock.monotonic()): boolean {
    const inner = this.#inner
    switch (inner.kind) {
      case 'closed':
        return false
      case 'open':
        return now < inner.until
      case 'half-open':
        return inner.underWay >= this.#options.probes && now < inner.leaseUntil
      case 'held':
        return inner.as === 'open'
    }
  }

  /** Lets a call in, or returns REFUSED. Whoever is let in reports one outcome with the generation it was given. */
  enter(now: number = this.#options.clock.monotonic()): Generation {
    if (this.#inner.kind === 'closed') return this.#generation
    if (this.refuses(now)) return REFUSED
    if (this.#inner.kind === 'open')
      this.#change({ kind: 'half-open', underWay: 0, succeeded: 0, leaseUntil: 0 })
    if (this.#inner.kind === 'half-open') this.#grantProbe(this.#inner, now)
    return this.#generation
  }

  succeeded(generation: Generation, now: number = this.#options.clock.monotonic()): void {
    if (generation !== this.#generation) return
    const inner = this.#inner
    if (inner.kind === 'closed') {
      inner.failuresInARow = 0
      this.#window?.record(false, now)
    } else if (inner.kind === 'half-open') {
      inner.underWay -= 1
      inner.succeeded += 1
      if (inner.succeeded >= this.#options.successesToClose) this.#close()
    }
  }

  /** Counts the error as a failure, unless it says nothing about the dependency: then as `ignored`. */
  failed(generation: Generation, error: unknown, now: number = this.#options.clock.monotonic()): void {
    if (generation !== this.#generation) return
    if (!this.#options.isFailure(error)) {
      this.ignored(generation)
      return
    }
    const inner = this.#inner
    if (inner.kind === 'half-open') {
      this.#open(now)
    } else if (inner.kind === 'closed') {
      inner.failuresInARow += 1
      const tooManyInARow = this.#options.consecutive > 0 && inner.failuresInARow >= this.#options.consecutive
      const tooManyInWindow = this.#window?.record(true, now) ?? false
      if (tooManyInARow || tooManyInWindow) this.#open(now)
    }
  }

  /** The call ended in a way that proves nothing, such as an abort by its caller. */
  ignored(generation: Generation): void {
    if (generation !== this.#generation) return
    if (this.#inner.kind === 'half-open') this.#inner.underWay -= 1
  }

  /** Keeps it open (isolates the dependency) or closed (lets everything through) until `release`. */
  hold(as: 'open' | 'closed'): void {
    this.#change({ kind: 'held', as })
  }

  /** Ends a hold, or closes the breaker by hand; counting starts anew. */
  release(): void {
    this.#close()
  }

  /** Opens it by hand, as failures would: a probe may follow after `resetMs`. */
  trip(): void {
    this.#open(this.#options.clock.monotonic())
  }

  /** Lets the next probe in without waiting for the rest of `resetMs`: the dependency was seen to answer otherwise. */
  hasten(now: number = this.#options.clock.monotonic()): void {
    if (this.#inner.kind === 'open') this.#inner = { ...this.#inner, until: now }
  }

  /** Runs `fn` under the breaker; rejects with SLUICE_BREAKER_OPEN when it is refused. */
  async execute<T>(fn: () => Promise<T> | T): Promise<T> {
    const generation = this.enter()
    if (generation === REFUSED) throw this.refusal()
    try {
      const value = await fn()
      this.succeeded(generation)
      return value
    } catch (error) {
      this.failed(generation, error)
      throw error
    }
  }

  /** The error for a call that was refused; `details.retryAfterMs` says when a probe is due. */
  refusal(now: number = this.#options.clock.monotonic()): SluiceError {
    const inner = this.#inner
    const retryAfterMs = inner.kind === 'open' ? Math.max(0, Math.ceil(inner.until - now)) : undefined
    return new SluiceError(
      'SLUICE_BREAKER_OPEN',
      `the circuit breaker of "${this.#options.name}" is open: calls are refused until it has recovered`,
      {
        retryable: true,
        hint: 'The failures that opened it are in the log; the next probe goes out by itself.',
        details: retryAfterMs === undefined ? { breaker: inner.kind } : { breaker: inner.kind, retryAfterMs },
      },
    )
  }

  #grantProbe(inner: Extract<Inner, { kind: 'half-open' }>, now: number): void {
    if (inner.underWay >= this.#options.probes) {
      // The lease has run out: whatever the probes of this round still say counts no more.
      this.#generation += 1
      inner.underWay = 0
    }
    inner.underWay += 1
    inner.leaseUntil = now + this.#options.resetMs
  }

  #open(now: number): void {
    this.#change({ kind: 'open', since: now, until: now + this.#options.resetMs })
  }

  #close(): void {
    this.#window?.clear()
    this.#change({ kind: 'closed', failuresInARow: 0 })
  }

  #change(next: Inner): void {
    const previous = this.state
    this.#inner = next
    this.#generation += 1
    try {
      this.#options.onChange?.(this.state, previous)
    } catch {
      // A listener is foreign code; its failure must not decide whether calls run.
    }
  }
}
