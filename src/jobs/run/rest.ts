/**
 * When a runner that found its queue empty looks again: at a hint, when a task is due that it knows of, at the poll.
 */
import { Alarm } from '../../core/alarm.ts'
import type { Clock } from '../../core/clock.ts'
import type { TaskSource } from '../source.ts'

export class Rest {
  readonly #clock: Clock
  readonly #alarm: Alarm
  #hints = 0
  /** Not sooner than this, by the monotonic clock, unless a hint comes. */
  #until = -Infinity
  #lookingForDue = false
  #lookAgain = false

  constructor(clock: Clock) {
    this.#clock = clock
    this.#alarm = new Alarm(clock)
  }

  /** Hints so far: when it is another number after a look, there may be more than that look has seen. */
  get hints(): number {
    return this.#hints
  }
  /** Milliseconds; 0 or less when it is over. */
  get msLeft(): number {
    return this.#until - this.#clock.monotonic()
  }

  /** There may be something to claim. */
  hint(): void {
    this.#hints += 1
    this.#until = -Infinity
    this.#alarm.ring()
  }

  /** Something else changed that the loop must see, which is no reason to look into an empty queue. */
  ring(): void {
    this.#alarm.ring()
  }

  /** A handler has room: of interest while there is something to claim. */
  room(): void {
    if (this.#until === -Infinity) this.#alarm.ring()
  }

  forMs(ms: number): void {
    this.#until = this.#clock.monotonic() + ms
  }

  /** Ends it then, where it would last longer. */
  dueIn(ms: number): void {
    const at = this.#clock.monotonic() + Math.max(0, ms)
    if (at >= this.#until) return
    this.#until = at
    this.#alarm.ring()
  }

  /** Sleeps until something rings, `ms` at most. */
  sleep(ms: number): Promise<void> {
    return this.#alarm.wait(ms)
  }

  /** Asks the sources when their next tasks are due. Never rejects. */
  async lookForDue(sources: readonly TaskSource[]): Promise<void> {
    // The one under way may have been answered before there was what this one is to find.
    this.#lookAgain = true
    if (this.#lookingForDue) return
    this.#lookingForDue = true
    while (this.#lookAgain) {
      this.#lookAgain = false
      const hints = this.#hints
      try {
        for (const source of sources) {
          const ms = await source.nextDue()
          if (ms !== undefined && hints === this.#hints) this.dueIn(ms)
        }
      } catch {
        // The poll finds it, somewhat later.
      }
    }
    this.#lookingForDue = false
  }
}
