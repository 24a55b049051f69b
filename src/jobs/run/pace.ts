/**
 * How many tasks to claim ahead: what the handlers will take within a tenth of a second at the rate that they have
 * shown. So handlers that do nothing are fed by thousands, and slow ones leave the work to other processes.
 */

/** Work for so long is claimed ahead. */
const AHEAD_MS = 100
/** Two claims of the most that one takes: the server looks for the next while the handlers run the last. */
const MAX_AHEAD = 4_000
/** Weight of a new measurement. */
const WEIGHT = 0.3

export class Pace {
  readonly #concurrency: number
  /** Of one run, averaged; undefined before the first. */
  #runMs: number | undefined
  /** Of one task as they leave the buffer, averaged: what the processor gets done. */
  #stepMs: number | undefined

  constructor(concurrency: number) {
    this.#concurrency = concurrency
  }

  ran(ms: number): void {
    this.#runMs = this.#runMs === undefined ? ms : this.#runMs + WEIGHT * (ms - this.#runMs)
  }

  /** `count` tasks were started within `ms`. */
  started(count: number, ms: number): void {
    const step = ms / count
    this.#stepMs = this.#stepMs === undefined ? step : this.#stepMs + WEIGHT * (step - this.#stepMs)
  }

  /** Nothing ended for so long, though something runs. */
  stalled(ms: number): void {
    this.#runMs = Math.max(this.#runMs ?? 0, ms)
  }

  /** Tasks to be held beside those that run. */
  get ahead(): number {
    if (this.#runMs === undefined || this.#stepMs === undefined) return 0
    const perTask = Math.max(this.#runMs / this.#concurrency, this.#stepMs, 1e-6)
    return Math.min(MAX_AHEAD, Math.floor(AHEAD_MS / perTask))
  }
}
