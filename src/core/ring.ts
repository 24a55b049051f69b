/** A double-ended queue on one array that doubles when it is full: push, shift and peek take the same time at any length. */

const FIRST_CAPACITY = 16

export class Ring<T> {
  /** Grows one by one as the tail first gets there, so its length may be below the capacity. */
  #slots: (T | undefined)[] = []
  /** Capacity less one; capacities are powers of two, so `& mask` wraps an index. */
  #mask = FIRST_CAPACITY - 1
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(item: T): void {
    if (this.#length > this.#mask) this.#grow()
    this.#slots[(this.#head + this.#length) & this.#mask] = item
    this.#length += 1
  }

  /** Takes the oldest item. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const item = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) & this.#mask
    this.#length -= 1
    // A burst must not hold its memory for ever; at an eighth, so that growing and shrinking do not alternate.
    if (this.#mask >= SHRINK_ABOVE && this.#length <= this.#mask >> 3) this.#shrink()
    return item
  }

  /** From the oldest on. It must not change meanwhile. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let at = 0; at < this.length; at += 1) yield this.#slots[(this.#head + at) & this.#mask] as T
  }

  /** The oldest item, left where it is. */
  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#slots[this.#head]
  }

  /**
   * Index of the item for which `compare` says 0, from 0 for the oldest. The items must be in ascending order: compare is
   * negative for items before it.
   */
  search(compare: (item: T) => number): number | undefined {
    let low = 0
    let high = this.#length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const order = compare(this.#slots[(this.#head + middle) & this.#mask] as T)
      if (order === 0) return middle
      if (order < 0) low = middle + 1
      else high = middle - 1
    }
    return undefined
  }

  /** Puts an item in the place of another. */
  set(index: number, item: T): void {
    if (index < 0 || index >= this.#length)
      throw new RangeError(`no item ${index} in a ring of ${this.#length}`)
    this.#slots[(this.#head + index) & this.#mask] = item
  }

  /** Keeps the items that `keep` says yes to, in order. */
  filter(keep: (item: T) => boolean): void {
    let kept = 0
    for (let index = 0; index < this.#length; index += 1) {
      const item = this.#slots[(this.#head + index) & this.#mask] as T
      if (keep(item)) this.#slots[(this.#head + kept++) & this.#mask] = item
    }
    for (let index = kept; index < this.#length; index += 1) {
      this.#slots[(this.#head + index) & this.#mask] = undefined
    }
    this.#length = kept
  }

  /** Doubles the capacity. What had wrapped round to the start moves behind the end; nothing else does. */
  #grow(): void {
    for (let index = 0; index < this.#head; index += 1) {
      this.#slots.push(this.#slots[index])
      this.#slots[index] = undefined
    }
    this.#mask = this.#mask * 2 + 1
  }

  /** Halves the capacity. */
  #shrink(): void {
    const slots: (T | undefined)[] = []
    for (let index = 0; index < this.#length; index += 1) {
      slots.push(this.#slots[(this.#head + index) & this.#mask])
    }
    this.#slots = slots
    this.#mask >>= 1
    this.#head = 0
  }
}

/** Rings of up to this many items keep their array. */
const SHRINK_ABOVE = 1_023
