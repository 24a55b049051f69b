/** A part of a lane's keys: its changes that wait, and the one batch of them that is under way. */
import type { StreamId } from '../stream-id.ts'
import type { Slot } from './slot.ts'
import { Waiting } from './waiting.ts'
import { Watermark } from './watermark.ts'

export class Shard {
  readonly waiting = new Waiting()
  /** Number of the batch under way; 0 for none. */
  batch = 0
  /** Highest id that ever came for it: also what was let go may have reached the store. */
  readonly #highest = new Watermark()

  /** Was nothing newer there before this? */
  isAscending(at: StreamId): boolean {
    const isHigher = this.#highest.isBefore(at)
    if (isHigher) this.#highest.set(at)
    return isHigher || this.#highest.is(at)
  }

  /** Takes the oldest changes into a batch. */
  takeBatch(batch: number, maxChanges: number, maxBytes: number): Slot[] {
    const { waiting } = this
    const taken: Slot[] = []
    let bytes = 0
    for (let slot = waiting.first; slot !== undefined; slot = waiting.first) {
      if (taken.length >= maxChanges || (taken.length > 0 && bytes + slot.bytes > maxBytes)) break
      waiting.remove(slot)
      bytes += slot.bytes
      slot.batch = batch
      taken.push(slot)
    }
    this.batch = batch
    return taken
  }
}
