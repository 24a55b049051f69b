/**
 * Time as an argument, so that every wait can be tested by hand.
 *
 * `now()` is wall-clock time and may jump; it is for stamps. `monotonic()` never goes back; it is for durations.
 */
import { onAbort } from './abort.ts'

/** A pending timer. */
export interface Timer {
  /** Never fires after this; safe to call twice. */
  cancel(): void
}

export interface Clock {
  /** Milliseconds since 1970, may jump. */
  now(): number
  /** Milliseconds from an arbitrary start, never goes back, with fractions. */
  monotonic(): number
  /** Calls `fn` once after `ms`. `keepAlive: false` lets the process end while it waits. @default keepAlive true */
  setTimer(fn: () => void, ms: number, options?: { readonly keepAlive?: boolean }): Timer
  /** Resolves after `ms`; rejects with the signal's reason, and clears its timer, when aborted. */
  sleep(ms: number, options?: { readonly signal?: AbortSignal; readonly keepAlive?: boolean }): Promise<void>
}

/** setTimeout takes at most this many milliseconds (24.8 days); longer waits are made of several. */
const MAX_TIMER_MS = 2_147_483_647

export const systemClock: Clock = Object.freeze({
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(fn: () => void, ms: number, options?: { readonly keepAlive?: boolean }): Timer {
    if (ms > MAX_TIMER_MS) return longTimer(fn, ms, options)
    const timeout = setTimeout(fn, ms)
    if (options?.keepAlive === false) timeout.unref()
    return { cancel: () => clearTimeout(timeout) }
  },
  sleep: (ms: number, options?: { readonly signal?: AbortSignal; readonly keepAlive?: boolean }) =>
    sleepOn(systemClock, ms, options),
})

function longTimer(fn: () => void, ms: number, options: { readonly keepAlive?: boolean } | undefined): Timer {
  const goOn = (): void => {
    timer = systemClock.setTimer(fn, ms - MAX_TIMER_MS, options)
  }
  let timer = systemClock.setTimer(goOn, MAX_TIMER_MS, options)
  return { cancel: () => timer.cancel() }
}

/** The sleep of any clock, in terms of its `setTimer`. */
export function sleepOn(
  clock: Pick<Clock, 'setTimer'>,
  ms: number,
  options: { readonly signal?: AbortSignal; readonly keepAlive?: boolean } = {},
): Promise<void> {
  const { signal } = options
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason)
      return
    }
    const timer = clock.setTimer(
      () => {
        release()
        resolve()
      },
      ms,
      { keepAlive: options.keepAlive ?? true },
    )
    const release = onAbort(signal, (reason) => {
      timer.cancel()
      reject(reason)
    })
  })
}
