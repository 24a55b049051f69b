/**
 * How long tasks wait, measured on one waiting task at a time and on one in 64 at most: asking for the time twice a task
 * would cost a third of what the pool costs.
 */
import type { Clock } from '../core/clock.ts'

const SAMPLE_EVERY = 64

export class WaitSample {
  readonly #clock: Clock
  #untilNext = 1
  #entry: object | undefined
  #since = 0
  #count = 0
  #totalMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get count(): number {
    return this.#count
  }
  get totalMs(): number {
    return this.#totalMs
  }

  /** `entry` begins to wait. */
  began(entry: object): void {
    this.#untilNext -= 1
    if (this.#untilNext > 0 || this.#entry !== undefined) return
    this.#untilNext = SAMPLE_EVERY
    this.#entry = entry
    this.#since = this.#clock.monotonic()
  }

  /** `entry` waits no more; `counts` when it is because its turn came. */
  ended(entry: object, counts: boolean): void {
    if (this.#entry !== entry) return
    this.#entry = undefined
    if (!counts) return
    this.#count += 1
    this.#totalMs += this.#clock.monotonic() - this.#since
  }
}
