/** A limit on how long something may take, whose error says which limit it was. */
import { deriveController } from '../core/abort.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { SluiceError } from '../core/errors.ts'

export interface TimeoutOptions {
  /** What is limited: `postgres: connect`. */
  readonly name: string
  /** Milliseconds, or a duration such as `'5s'`. */
  readonly timeout: Duration
  /** Ends the wait early; rejects with its reason. */
  readonly signal?: AbortSignal | undefined
  /** @default the system's */
  readonly clock?: Clock
}

/** `"postgres: connect" timed out after 5000 ms`. */
export function timeoutError(name: string, timeoutMs: number): SluiceError {
  return new SluiceError('SLUICE_TIMEOUT', `"${name}" timed out after ${timeoutMs} ms`, {
    retryable: true,
    details: { timeoutMs },
  })
}

/**
 * Runs `fn` and rejects with SLUICE_TIMEOUT when it takes longer. The signal that `fn` is handed aborts then, and when
 * `options.signal` does. What `fn` says afterwards is ignored, so let it honour the signal and clean up after itself.
 */
export async function withTimeout<T>(
  fn: (signal: AbortSignal) => Promise<T> | T,
  options: TimeoutOptions,
): Promise<T> {
  const { name, signal, clock = systemClock } = options
  const timeoutMs = durationMs(options.timeout, 'timeout')
  signal?.throwIfAborted()
  const { controller, release } = deriveController(signal)
  const ended = Promise.withResolvers<never>()
  controller.signal.addEventListener('abort', () => ended.reject(controller.signal.reason), { once: true })
  const timer = clock.setTimer(() => controller.abort(timeoutError(name, timeoutMs)), timeoutMs)
  try {
    return await Promise.race([Promise.try(fn, controller.signal), ended.promise])
  } finally {
    timer.cancel()
    release()
  }
}
