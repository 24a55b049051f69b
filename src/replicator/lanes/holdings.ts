/** What a lane holds, for its bounds: slots that wait, are under way, set aside, or keep the place of a dead letter. */
import { Cells } from './cells.ts'
import type { Positions } from './positions.ts'
import type { Slot } from './slot.ts'

export class Holdings {
  readonly #positions: Positions
  /** Undefined where entities are parsed, and kept so. */
  readonly #cells: Cells | undefined
  slots = 0
  bytes = 0
  /** Rows of a load that are not stored yet. */
  rows = 0

  constructor(positions: Positions, keepsData: boolean) {
    this.#positions = positions
    this.#cells = keepsData ? undefined : new Cells()
  }

  /** A slot with room for so many bytes; undefined where there are none so large. To be added once it is filled. */
  cell(bytes: number): Slot | undefined {
    return this.#cells?.take(bytes)
  }

  add(slot: Slot): void {
    this.slots += 1
    this.bytes += slot.bytes
  }

  /** It is another's from now on, which has its place and its rows. */
  drop(slot: Slot): void {
    this.slots -= 1
    this.bytes -= slot.bytes
    this.#cells?.give(slot)
  }

  /** Done with, in whatever way: the cursor may pass it. */
  release(slot: Slot): void {
    this.rows -= slot.rows
    this.#positions.unlink(slot)
    this.drop(slot)
  }

  /** Lets everything go. */
  clear(): void {
    this.slots = this.bytes = this.rows = 0
    this.#cells?.clear()
  }
}
