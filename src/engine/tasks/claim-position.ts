/**
 * Where the ready tasks of a queue begin, for each priority: before it the index holds what was claimed already. Usually
 * the server clears that away as it goes, and looking from the beginning costs nothing; a transaction that stays open
 * keeps it from doing so, and each look would walk all that was claimed since.
 *
 * Only while looks from the beginning are slow do others begin where the last tasks were found. What became ready behind
 * that (a transaction that committed late, a task that was freed) is found by the next look from the beginning, which
 * comes after ten times what the last one took, and after five seconds at most.
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
const MIN_REST_MS = 250
const MAX_REST_MS = 5_000
/** Transactions that commit this much later than others are found all the same. */
const MARGIN_MS = 100

export interface Look {
  /** Milliseconds since 1970 by the database's clock, by priority. */
  readonly from: readonly number[]
  found(tasks: readonly HeldTask[]): void
}

export class ClaimPosition {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #lows: number[] = [...FROM_THE_BEGINNING]
  /** No look from the beginning before. */
  #restUntil = -Infinity

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  look(): Look {
    const startedAt = this.#clock.monotonic()
    const whole = startedAt >= this.#restUntil
    return {
      from: whole ? FROM_THE_BEGINNING : [...this.#lows],
      found: (tasks) => {
        if (whole) this.#judge(this.#clock.monotonic() - startedAt, tasks.length)
        for (const { prio, run_at } of tasks) {
          if (run_at - MARGIN_MS > (this.#lows[prio] ?? Infinity)) this.#lows[prio] = run_at - MARGIN_MS
        }
      },
    }
  }

  #judge(tookMs: number, tasks: number): void {
    const limit = SLOW_MS + SLOW_PER_TASK_MS * tasks
    const restMs = Math.min(MAX_REST_MS, Math.max(MIN_REST_MS, REST_FACTOR * tookMs))
    this.#restUntil = tookMs > limit ? this.#clock.monotonic() + restMs : -Infinity
  }
}
