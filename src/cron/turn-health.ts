/**
 * Whether this process comes to look at its schedules. A look that fails costs nothing, since the next one is soon, and
 * a database that is away says so itself; several in a row mean that nothing runs by time here, which is told.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { LogLimit } from '../telemetry/log-limit.ts'

/** Looks in a row that failed before it is warned of, and before a check fails. */
const FAILURES_TO_TELL = 3
const FAILURES_TO_FAIL = 5
const TELL_AGAIN_MS = 60_000
/** Without a success for so many polls, and at least so long, a check fails as well: a look that hangs fails never. */
const POLLS_TO_FAIL = 5
const LEAST_SILENCE_MS = 30_000

export class TurnHealth {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #limit: LogLimit
  readonly #silenceMs: number
  #failures = 0
  #lastError: Error | undefined
  #lastSuccessAt: number

  constructor(clock: Clock, log: Logger, pollMs: number) {
    this.#clock = clock
    this.#log = log
    this.#limit = new LogLimit(clock, TELL_AGAIN_MS)
    this.#silenceMs = Math.max(POLLS_TO_FAIL * pollMs, LEAST_SILENCE_MS)
    this.#lastSuccessAt = clock.monotonic()
  }

  /** Also where it only begins to look, as after a connect. */
  succeeded(): void {
    this.#failures = 0
    this.#lastError = undefined
    this.#lastSuccessAt = this.#clock.monotonic()
  }

  failed(error: Error): void {
    this.#failures++
    this.#lastError = error
    if (this.#failures < FAILURES_TO_TELL || this.#limit.take() === undefined) {
      this.#log.debug({ err: error }, 'a look at the schedules failed')
      return
    }
    const text = `${this.#failures} looks at the schedules in a row failed: until one succeeds, nothing runs by time in this process`
    this.#log.warn({ err: error }, text)
  }

  /** Throws SLUICE_UNAVAILABLE when nothing runs by time here. */
  check(): void {
    const silentMs = this.#clock.monotonic() - this.#lastSuccessAt
    if (this.#failures < FAILURES_TO_FAIL && silentMs <= this.#silenceMs) return
    const text = `no look at the schedules has succeeded for ${Math.round(silentMs / 1_000)} s: nothing runs by time in this process`
    throw new SluiceError('SLUICE_UNAVAILABLE', text, { cause: this.#lastError, retryable: true })
  }
}
