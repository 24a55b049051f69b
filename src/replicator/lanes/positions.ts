/**
 * The cursor: up to where everything that was delivered is stored, over all lanes.
 *
 * Each slot that is not stored yet remembers the stream id that was delivered right before its first message. The slots
 * are in one list in the order of their first messages, so the cursor is what the first of them remembers, and where
 * none is left, the newest id delivered. Memory goes with the keys that wait and not with the messages, also when
 * millions of them were put together during an outage.
 */
import type { StreamId } from '../stream-id.ts'
import type { Slot } from './slot.ts'
import { Watermark } from './watermark.ts'

export class Positions {
  #first: Slot | undefined
  #last: Slot | undefined
  /** Newest id delivered. */
  readonly #newest = new Watermark()
  /** The one before it: a bulk message has several entities with one id. */
  readonly #beforeNewest = new Watermark()

  /** Newest id that was delivered; undefined where nothing was. */
  get newest(): StreamId | undefined {
    return this.#newest.id
  }

  /** Forgets everything: the next id follows `at`. Slots that were linked are not any more. */
  reset(at: StreamId | undefined): void {
    for (let slot = this.#first; slot !== undefined;) {
      const { later } = slot
      slot.linked = false
      slot.earlier = slot.later = undefined
      slot = later
    }
    this.#first = this.#last = undefined
    this.#newest.set(at)
    this.#beforeNewest.set(at)
  }

  /** An id was delivered. @returns whether it had not been passed before: what comes again needs no place */
  arrive(at: StreamId): boolean {
    const newest = this.#newest
    if (newest.isBefore(at)) {
      this.#beforeNewest.follow(newest)
      newest.set(at)
      return true
    }
    return newest.is(at)
  }

  /** The last place is for this slot, whose message has just arrived. Nothing happens when it has a place already. */
  link(slot: Slot): void {
    if (slot.linked) return
    slot.follow(this.#beforeNewest)
    this.#append(slot)
  }

  /** A place after everything that arrived, for what has no id of its own. */
  linkAfter(slot: Slot): void {
    slot.follow(this.#newest)
    this.#append(slot)
  }

  /** Stored. */
  unlink(slot: Slot): void {
    if (!slot.linked) return
    const { earlier, later } = slot
    if (earlier === undefined) this.#first = later
    else earlier.later = later
    if (later === undefined) this.#last = earlier
    else later.earlier = earlier
    slot.linked = false
    slot.earlier = slot.later = undefined
  }

  /** `slot` stands for `other` too, and takes the place of the two that comes first; `other` is the later one. */
  takeOver(slot: Slot, other: Slot): void {
    if (slot.linked || !other.linked) {
      this.unlink(other)
      return
    }
    const { earlier, later } = other
    slot.follow(other)
    slot.earlier = earlier
    slot.later = later
    slot.linked = true
    if (earlier === undefined) this.#first = slot
    else earlier.later = slot
    if (later === undefined) this.#last = slot
    else later.earlier = slot
    other.linked = false
    other.earlier = other.later = undefined
  }

  /** The cursor as it will be once the batch of this number is stored; 0 for now. */
  cursor(batch: number): StreamId | undefined {
    let slot = this.#first
    // A batch takes the oldest first, so that only its own are passed here.
    while (slot !== undefined && batch !== 0 && slot.batch === batch) slot = slot.later
    return slot === undefined ? this.#newest.id : slot.before
  }

  #append(slot: Slot): void {
    slot.linked = true
    slot.earlier = this.#last
    slot.later = undefined
    if (this.#last === undefined) this.#first = slot
    else this.#last.later = slot
    this.#last = slot
  }
}
