/**
 * Where the ready tasks of a queue begin, for each priority: before it stand those of open lots, and in the index those
 * that were claimed and that the server has not cleared away, which a transaction that stays open keeps it from. A look
 * from the beginning walks past all of them; others begin where the last tasks were found.
 *
 * What became ready behind that (a transaction that committed late, a task that was freed) is found by the next look from
 * the beginning. It comes at once when a look brought less than it could take, as nothing is gained then; else after ten
 * times what the last one took, a tenth of a second at least. Where walking past is slow in itself it comes no sooner for
 * a look that brought little, after five seconds at most, and the others begin a little before.
 */
import type { Clock } from '../../core/clock.ts'
import type { HeldTask } from './task.ts'

const PRIORITIES = 10
export const FROM_THE_BEGINNING: readonly number[] = Object.freeze(
  Array.from({ length: PRIORITIES }, () => 0),
)

/** A look from the beginning that took longer than this is slow: a part for itself, a part for each task. */
const SLOW_MS = 20
const SLOW_PER_TASK_MS = 0.05
const REST_FACTOR = 10
const MIN_REST_MS = 100
const MIN_SLOW_REST_MS = 250
const MAX_REST_MS = 5_000
/** Where looks are slow, transactions that commit this much later than others are found all the same. */
const MARGIN_MS = 100

export interface Look {
  /** Milliseconds since 1970 by the database's clock, by priority. */
  readonly from: readonly number[]
  /** Whether to look again at once, from the beginning. */
  found(tasks: readonly HeldTask[]): boolean
}

export class ClaimPosition {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #lows: number[] = [...FROM_THE_BEGINNING]
  /** No look from the beginning before. */
  #restUntil = -Infinity
  #isSlow = false

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** `limit`: tasks that it takes at most. */
  look(limit: number): Look {
    const startedAt = this.#clock.monotonic()
    const isWhole = startedAt >= this.#restUntil
    const margin = this.#isSlow ? MARGIN_MS : 0
    return {
      from: isWhole ? FROM_THE_BEGINNING : this.#lows.map((low) => Math.max(0, low - margin)),
      found: (tasks) => {
        const isFull = tasks.length >= limit
        if (isWhole) this.#judge(this.#clock.monotonic() - startedAt, tasks.length, isFull)
        for (const { prio, run_at } of tasks)
          if (run_at > (this.#lows[prio] ?? Infinity)) this.#lows[prio] = run_at
        if (isWhole || isFull || this.#isSlow) return false
        this.#restUntil = -Infinity
        return true
      },
    }
  }

  #judge(tookMs: number, tasks: number, isFull: boolean): void {
    this.#isSlow = tookMs > SLOW_MS + SLOW_PER_TASK_MS * tasks
    const leastMs = this.#isSlow ? MIN_SLOW_REST_MS : MIN_REST_MS
    const restMs = Math.min(MAX_REST_MS, Math.max(leastMs, REST_FACTOR * tookMs))
    this.#restUntil = this.#isSlow || isFull ? this.#clock.monotonic() + restMs : -Infinity
  }
}
