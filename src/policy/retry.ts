/**
 * Tries again what failed and may be repeated: exponential back-off with full jitter, within a budget, abortable.
 *
 * Operations of components retry by themselves; this is for work of your own. Only what is idempotent may be handed in:
 * an attempt that failed may have taken effect.
 */
import { backoffMs } from '../core/backoff.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { isSluiceError, SluiceError } from '../core/errors.ts'
import type { RetryBudget } from './retry-budget.ts'

export interface RetryOptions {
  /** Attempts in all, the first included. @default 3 */
  readonly attempts?: number
  /** Upper limit of the first delay in milliseconds; it doubles with each attempt. @default 50 */
  readonly baseMs?: number
  /** Upper limit of every delay in milliseconds. @default 2000 */
  readonly capMs?: number
  /** Shared by all calls to one dependency, so that retries stay a small share of them. @default none */
  readonly budget?: RetryBudget
  /** Which errors are worth another attempt. @default sluice errors whose `retryable` is true */
  readonly isRetryable?: (error: unknown) => boolean
  /** Ends the back-off, and keeps another attempt from starting; rejects with its reason. */
  readonly signal?: AbortSignal | undefined
  readonly clock?: Clock
  /** Uniform in [0, 1). */
  readonly random?: () => number
}

const defaults = Object.freeze({ attempts: 3, baseMs: 50, capMs: 2_000 })

/** Resolves with the first success, or rejects with the last error, as it was thrown. */
export async function retry<T>(
  fn: (attempt: number) => Promise<T> | T,
  options: RetryOptions = {},
): Promise<T> {
  const { clock = systemClock, random = Math.random, signal, budget } = options
  const { isRetryable = isRetryableError } = options
  const { attempts, baseMs, capMs } = { ...defaults, ...options }
  if (!Number.isInteger(attempts) || attempts < 1) {
    throw new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      `attempts: expected a whole number from 1, got ${attempts}`,
    )
  }
  for (let attempt = 1; ; attempt += 1) {
    signal?.throwIfAborted()
    try {
      const value = await fn(attempt)
      budget?.succeeded()
      return value
    } catch (error) {
      if (attempt >= attempts || !isRetryable(error) || budget?.tryTake() === false) throw error
      await clock.sleep(
        backoffMs(attempt, random(), { baseMs, capMs }),
        signal === undefined ? {} : { signal },
      )
    }
  }
}

function isRetryableError(error: unknown): boolean {
  return isSluiceError(error) && error.retryable
}
