/** What a loop sleeps on: it wakes when it is rung, or when the time is over. A ring while nobody sleeps is kept. */
import type { Clock, Timer } from '../../core/clock.ts'

export class Alarm {
  readonly #clock: Clock
  #rung = false
  #wake: (() => void) | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** One at a time. */
  async wait(ms: number): Promise<void> {
    let timer: Timer | undefined
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        timer = this.#clock.setTimer(resolve, ms)
      })
    }
    timer?.cancel()
    this.#wake = undefined
    this.#rung = false
  }
}
