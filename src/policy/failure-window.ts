/**
 * The rate of failures of the last while: counts calls and failures in ten buckets, so that neither memory nor time grows
 * with the number of calls. A call leaves the window between nine and ten tenths of its length after it came.
 */
import { invalidArgument, type SluiceError } from '../core/errors.ts'

export interface RateWindow {
  /** Length of the window in milliseconds. @default 10000 */
  readonly durationMs: number
  /** Calls in the window before the rate says anything. @default 20 */
  readonly minimumCalls: number
  /** Share of failures that opens the breaker, above 0 and up to 1. @default 0.5 */
  readonly failureRate: number
}

export class FailureWindow {
  static readonly #BUCKETS = 10
  readonly #bucketMs: number
  readonly #minimumCalls: number
  readonly #failureRate: number
  readonly #calls = new Uint32Array(FailureWindow.#BUCKETS)
  readonly #failures = new Uint32Array(FailureWindow.#BUCKETS)
  #tick = 0

  constructor(name: string, window: RateWindow) {
    this.#bucketMs = atLeast(name, 'window.durationMs', window.durationMs, 10) / FailureWindow.#BUCKETS
    this.#minimumCalls = atLeast(name, 'window.minimumCalls', window.minimumCalls, 1)
    this.#failureRate = window.failureRate
    if (!(window.failureRate > 0 && window.failureRate <= 1)) {
      throw invalid(name, 'window.failureRate', 'a share above 0 and up to 1', window.failureRate)
    }
  }

  /** Adds an outcome; true when the rate of failures is now at the limit. */
  record(failure: boolean, now: number): boolean {
    this.#moveTo(Math.floor(now / this.#bucketMs))
    const bucket = this.#tick % FailureWindow.#BUCKETS
    this.#calls[bucket]! += 1
    if (!failure) return false
    this.#failures[bucket]! += 1
    const calls = sum(this.#calls)
    return calls >= this.#minimumCalls && sum(this.#failures) >= calls * this.#failureRate
  }

  clear(): void {
    this.#calls.fill(0)
    this.#failures.fill(0)
  }

  #moveTo(tick: number): void {
    if (tick <= this.#tick) return
    if (tick - this.#tick >= FailureWindow.#BUCKETS) this.clear()
    else {
      for (let passed = this.#tick + 1; passed <= tick; passed += 1) {
        this.#calls[passed % FailureWindow.#BUCKETS] = 0
        this.#failures[passed % FailureWindow.#BUCKETS] = 0
      }
    }
    this.#tick = tick
  }
}

function sum(counts: Uint32Array): number {
  let total = 0
  for (const count of counts) total += count
  return total
}

/** The value, if it is at least `minimum`; otherwise it throws, naming breaker and option. */
export function atLeast(name: string, option: string, value: number, minimum: number): number {
  if (Number.isFinite(value) && value >= minimum) return value
  throw invalid(name, option, `a number of at least ${minimum}`, value)
}

function invalid(name: string, option: string, expected: string, got: number): SluiceError {
  return invalidArgument(`breaker "${name}": ${option}`, expected, got)
}
