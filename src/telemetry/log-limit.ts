/** Keeps one kind of log line to one in an interval, and counts what was left out. */
import type { Clock } from '../core/clock.ts'

export class LogLimit {
  readonly #clock: Clock
  readonly #intervalMs: number
  #nextAt = -Infinity
  #suppressed = 0

  /** `intervalMs`: at most one line in so many milliseconds. */
  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock
    this.#intervalMs = intervalMs
  }

  /** How many lines were left out since the last one, when a line may be written now; undefined when not. */
  take(): number | undefined {
    const now = this.#clock.monotonic()
    if (now < this.#nextAt) {
      this.#suppressed += 1
      return undefined
    }
    const suppressed = this.#suppressed
    this.#nextAt = now + this.#intervalMs
    this.#suppressed = 0
    return suppressed
  }
}
