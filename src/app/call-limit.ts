/** The deadline of one call that the app makes on a component. */
import { deriveController } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'

export interface CallLimitOptions {
  readonly component: string
  /** `connect` or `check`, for the message. */
  readonly call: string
  readonly ms: number
  readonly clock: Clock
  /** Told at once, though the component may ignore its signal. */
  readonly onLate?: (error: SluiceError) => void
}

export interface CallLimit {
  /** Aborts with SLUICE_TIMEOUT at the deadline, or as `outer` does. */
  readonly signal: AbortSignal
  /** Call it when the call is over. */
  readonly release: () => void
}

export function limitCall(outer: AbortSignal, options: CallLimitOptions): CallLimit {
  const { component, call, ms, clock, onLate } = options
  const { controller, release } = deriveController(outer)
  const timer = clock.setTimer(() => {
    const text = `"${component}: ${call}" timed out after ${ms} ms`
    const error = new SluiceError('SLUICE_TIMEOUT', text, { component, retryable: true })
    controller.abort(error)
    onLate?.(error)
  }, ms)
  return {
    signal: controller.signal,
    release: () => {
      timer.cancel()
      release()
    },
  }
}
