/**
 * The highest stream id so far. Numbers in place of the object that came with the message: what is old and points to what is
 * new has to be noted for the collector, for each message anew.
 */
import type { StreamId } from '../stream-id.ts'

/** In place of the first number, where there is none. */
export const NONE = -1

export class Watermark {
  #ms = NONE
  #seq = 0

  /** `NONE` where there is none. */
  get ms(): number {
    return this.#ms
  }
  get seq(): number {
    return this.#seq
  }

  /** Undefined where there is none. */
  get id(): StreamId | undefined {
    return this.#ms === NONE ? undefined : { ms: this.#ms, seq: this.#seq }
  }

  set(at: StreamId | undefined): void {
    this.#ms = at?.ms ?? NONE
    this.#seq = at?.seq ?? 0
  }

  /** Becomes what the other one is. */
  follow(other: Watermark): void {
    this.#ms = other.#ms
    this.#seq = other.#seq
  }

  get isKnown(): boolean {
    return this.#ms !== NONE
  }

  is(at: StreamId): boolean {
    return at.ms === this.#ms && at.seq === this.#seq
  }

  /** Is `at` after it? So is every id where there is none. */
  isBefore(at: StreamId): boolean {
    return at.ms === this.#ms ? at.seq > this.#seq : at.ms > this.#ms
  }
}
