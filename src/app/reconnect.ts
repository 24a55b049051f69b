/** How long to wait before what failed to start, or to connect, is tried again: for ever, and never in step with others. */

/** Attempts that come fast, before the wait grows to its cap: about two minutes, in which most outages end. */
const QUICK_ATTEMPTS = 30
const FIRST_MS = 250
const QUICK_CAP_MS = 4_000
const SLOW_CAP_MS = 30_000

/**
 * Milliseconds before attempt `attempt + 1`: doubling from 250 ms, at most 4 s for the first thirty attempts and 30 s
 * later, of which a random half is taken off, so that many processes do not return in step.
 */
export function reconnectDelayMs(attempt: number, random: () => number): number {
  const cap = attempt <= QUICK_ATTEMPTS ? QUICK_CAP_MS : SLOW_CAP_MS
  const exponent = attempt <= QUICK_ATTEMPTS ? attempt - 1 : attempt - QUICK_ATTEMPTS + 4
  const full = Math.min(cap, FIRST_MS * 2 ** Math.min(exponent, 20))
  return full * (0.5 + 0.5 * random())
}
