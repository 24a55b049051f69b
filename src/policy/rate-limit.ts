/**
 * Rate limits within one process, for each key of a bounded number. (Several processes share a limit through Redis.)
 *
 * - `token-bucket` allows a burst and then an even flow. Its state is one number, the time at which the bucket is full
 *   again: the generic cell rate algorithm (ITU-T I.371), which is exact and needs no timer.
 * - `sliding-window` never allows more than `limit` in any window of that length, wherever it begins. It keeps the times
 *   of the last `limit` calls of each key.
 *
 * When more than `maxKeys` are known, the one that was not used for longest is forgotten, and so may start anew.
 */
import { systemClock, type Clock } from '../core/clock.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { invalidArgument, SluiceError } from '../core/errors.ts'

export interface RateLimitOptions {
  /** What is limited; named in its error. */
  readonly name: string
  /** Calls allowed `per` so long. 1 to 100000 */
  readonly limit: number
  readonly per: Duration
  /** @default 'token-bucket' */
  readonly algorithm?: 'token-bucket' | 'sliding-window'
  /** Calls at once out of a full bucket. @default `limit` */
  readonly burst?: number
  /** Keys kept apart. @default 10000 */
  readonly maxKeys?: number
  /** @default the system's */
  readonly clock?: Clock
}

export type RateDecision =
  | { readonly allowed: true; readonly remaining: number }
  | { readonly allowed: false; readonly remaining: 0; readonly retryAfterMs: number }

export interface RateLimiter {
  /** Takes one call for the key if the limit allows it. */
  tryTake(key?: string): RateDecision
  /** As `tryTake`, but throws SLUICE_RATE_LIMITED, whose `details.retryAfterMs` says when to come again. */
  take(key?: string): void
}

const defaults = Object.freeze({ algorithm: 'token-bucket', maxKeys: 10_000 })
const MAX_LIMIT = 100_000

export function createRateLimiter(options: RateLimitOptions): RateLimiter {
  const { name, limit, clock = systemClock, algorithm, maxKeys } = { ...defaults, ...options }
  const perMs = durationMs(options.per, 'per')
  const burst = options.burst ?? limit
  for (const [option, value] of Object.entries({ limit, burst, maxKeys })) checkCount(name, option, value)
  if (perMs === 0) throw invalid(name, 'per', 'more than 0 ms', perMs)
  const states = new RecentKeys<KeyState>(maxKeys)
  const create = (): KeyState =>
    algorithm === 'token-bucket' ? new TokenBucket(burst, perMs / limit) : new SlidingWindow(limit, perMs)

  const tryTake = (key = ''): RateDecision => states.get(key, create).take(clock.monotonic())
  return {
    tryTake,
    take(key) {
      const decision = tryTake(key)
      if (decision.allowed) return
      throw new SluiceError('SLUICE_RATE_LIMITED', `"${name}" allows ${limit} calls in ${perMs} ms`, {
        retryable: true,
        details: { retryAfterMs: decision.retryAfterMs },
      })
    },
  }
}

interface KeyState {
  take(now: number): RateDecision
}

/** Tokens that come back one every `intervalMs`, at most `burst` of them. */
class TokenBucket implements KeyState {
  readonly #burst: number
  readonly #intervalMs: number
  /** When the bucket will be full again, if nothing more is taken. */
  #fullAt = -Infinity

  constructor(burst: number, intervalMs: number) {
    this.#burst = burst
    this.#intervalMs = intervalMs
  }

  take(now: number): RateDecision {
    const fullAt = Math.max(this.#fullAt, now) + this.#intervalMs
    const waitMs = fullAt - now - this.#burst * this.#intervalMs
    // Sums of fractions of a millisecond miss whole ones by a little.
    if (waitMs > ROUNDING_MS) return { allowed: false, remaining: 0, retryAfterMs: Math.ceil(waitMs) }
    this.#fullAt = fullAt
    return { allowed: true, remaining: Math.floor((ROUNDING_MS - waitMs) / this.#intervalMs) }
  }
}

const ROUNDING_MS = 1e-6

/** The times of the calls of the last `windowMs`, in a ring that grows up to `limit`. */
class SlidingWindow implements KeyState {
  readonly #limit: number
  readonly #windowMs: number
  #times: number[] = []
  #oldest = 0

  constructor(limit: number, windowMs: number) {
    this.#limit = limit
    this.#windowMs = windowMs
  }

  take(now: number): RateDecision {
    const times = this.#times
    while (this.#oldest < times.length && times[this.#oldest]! <= now - this.#windowMs) this.#oldest += 1
    // Thrown away in one go when half is past, so that each time is moved once on average.
    if (this.#oldest * 2 > times.length) {
      times.splice(0, this.#oldest)
      this.#oldest = 0
    }
    const used = times.length - this.#oldest
    if (used >= this.#limit) {
      const retryAfterMs = Math.max(1, Math.ceil(times[this.#oldest]! + this.#windowMs - now))
      return { allowed: false, remaining: 0, retryAfterMs }
    }
    times.push(now)
    return { allowed: true, remaining: this.#limit - used - 1 }
  }
}

/** At most `max` values by key; the least recently used goes first. A Map keeps its keys in order of insertion. */
class RecentKeys<Value> {
  readonly #max: number
  readonly #values = new Map<string, Value>()

  constructor(max: number) {
    this.#max = max
  }

  get(key: string, create: () => Value): Value {
    const value = this.#values.get(key) ?? create()
    this.#values.delete(key)
    this.#values.set(key, value)
    if (this.#values.size > this.#max) this.#values.delete(this.#values.keys().next().value!)
    return value
  }
}

function checkCount(name: string, option: string, value: number): void {
  if (!Number.isInteger(value) || value < 1 || value > MAX_LIMIT) {
    throw invalid(name, option, `a whole number from 1 to ${MAX_LIMIT}`, value)
  }
}

function invalid(name: string, option: string, expected: string, got: number): SluiceError {
  return invalidArgument(`rate limit "${name}": ${option}`, expected, got)
}
