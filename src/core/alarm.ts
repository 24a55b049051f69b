/** What a loop sleeps on: it wakes when it is rung, when the time is over, or at the abort. A ring while nobody sleeps is kept. */
import { onAbort } from './abort.ts'
import type { Clock } from './clock.ts'

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

  /** One at a time. Never rejects: who may be aborted looks at the signal. */
  async wait(ms: number, signal?: AbortSignal): Promise<void> {
    if (!this.#rung && signal?.aborted !== true) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          timer.cancel()
          release()
          resolve()
        }
        const timer = this.#clock.setTimer(done, ms)
        const release = onAbort(signal, done)
        this.#wake = done
      })
    }
    this.#wake = undefined
    this.#rung = false
  }
}
