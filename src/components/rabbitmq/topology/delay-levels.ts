/**
 * Any delay out of a few queues. A queue with one time to live for all its messages gives them up in the order in which
 * they came, so none blocks another, as messages of different times in one queue would. There is one such queue for each
 * power of two of a tenth of a second, and a delay is the sum of those whose bits it has:
 *
 *     2.5 s = 25 ticks = 16 + 8 + 1        ─▶ level 4 (1.6 s) ─▶ level 3 (0.8 s) ─▶ level 0 (0.1 s) ─▶ due
 *
 * The bits are headers. The exchange of a level passes a message with its bit into the queue, and one without on to the
 * next level; the queue gives up to the next level as well. The routing key stays what it was.
 */
import { invalidArgument } from '../../../core/errors.ts'
import { delayHeader, HEADER } from './names.ts'

export const TICK_MS = 100
/** 2^25 ticks are 38 days. */
export const LEVELS = 25
export const MAX_DELAY_MS = 30 * 24 * 3_600_000

export interface DelayPlan {
  /** The level that it enters at: that of its highest bit. */
  readonly level: number
  readonly headers: Readonly<Record<string, string>>
}

/** How long, rounded up to a tick, and where to. Throws SLUICE_INVALID_ARGUMENT beyond thirty days. */
export function planDelay(delayMs: number, to: string): DelayPlan {
  if (!(delayMs > 0 && delayMs <= MAX_DELAY_MS)) throw invalidArgument('delay', 'up to 30 days', delayMs)
  const ticks = Math.max(1, Math.ceil(delayMs / TICK_MS))
  const level = 31 - Math.clz32(ticks)
  const headers: Record<string, string> = { [HEADER.delayed]: '1', [HEADER.delayTo]: to }
  for (let each = 0; each <= level; each++) headers[delayHeader(each)] = (ticks >>> each) & 1 ? '1' : '0'
  return { level, headers }
}

/** What its queue waits. */
export const levelMs = (level: number): number => TICK_MS * 2 ** level
