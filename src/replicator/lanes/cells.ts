/**
 * Slots that are used again and again, each with memory for its id and entity as bytes. As texts and objects of their own they
 * outlive the collector's first look, so that it copies each of them twice: an eighth of the processor time of a message.
 *
 * There are as many as were held at once, and what is held has a bound in bytes; a slot counts with the size of its memory.
 */
import { Slot } from './slot.ts'

/** An entity takes at most four times its size; a larger one has a text of its own. */
const SIZES = [512, 2_048, 8_192]
const SLAB = 64 * 1_024

export class Cells {
  readonly #free: Slot[][] = SIZES.map(() => [])

  /** A slot with room for so many bytes; undefined where there are none so large. */
  take(bytes: number): Slot | undefined {
    const index = SIZES.findIndex((size) => bytes <= size)
    const free = this.#free[index]
    if (free === undefined) return undefined
    if (free.length === 0) this.#grow(free, SIZES[index]!)
    return free.pop()
  }

  /** Nobody looks at it any more. One without memory is let go. */
  give(slot: Slot): void {
    if (slot.cell !== undefined) this.#free[SIZES.indexOf(slot.cell.size)]?.push(slot)
  }

  /** Lets all of them go: somebody may still look at those that are not here. */
  clear(): void {
    for (const free of this.#free) free.length = 0
  }

  #grow(free: Slot[], size: number): void {
    const memory = Buffer.allocUnsafeSlow(SLAB)
    for (let at = SLAB - size; at >= 0; at -= size)
      free.push(Slot.withCell({ memory, at, size, idLength: 0, jsonLength: 0 }))
  }
}
