/**
 * How long to wait before another attempt: exponential with full jitter, as a pure function of the attempt.
 *
 * Full jitter (a random share of the whole delay) spreads callers that failed together best, and needs no more calls
 * than other kinds: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export interface Backoff {
  /** Upper limit of the first delay, in milliseconds. */
  readonly baseMs: number
  /** Upper limit of every delay, in milliseconds. */
  readonly capMs: number
}

/**
 * Milliseconds before attempt `attempt + 1`, where `attempt` (from 1) is the one that failed: from 0 up to
 * `min(capMs, baseMs * 2^(attempt - 1))`, by `random` in [0, 1).
 */
export function backoffMs(attempt: number, random: number, { baseMs, capMs }: Backoff): number {
  return random * Math.min(capMs, baseMs * 2 ** (attempt - 1))
}
