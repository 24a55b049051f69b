/** A binary heap of items by time. An item may be in it several times; who takes one out looks whether it still counts. */

interface Entry<T> {
  readonly at: number
  readonly item: T
}

export class TimeHeap<T> {
  readonly #entries: Entry<T>[] = []

  push(at: number, item: T): void {
    const entries = this.#entries
    const entry = { at, item }
    let index = entries.length
    entries.push(entry)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = entries[parent]
      if (above === undefined || above.at <= at) break
      entries[index] = above
      index = parent
    }
    entries[index] = entry
  }

  /** The earliest time. */
  peek(): number | undefined {
    return this.#entries[0]?.at
  }

  /** Takes an item out whose time has come. */
  shift(now: number): T | undefined {
    const first = this.#entries[0]
    if (first === undefined || first.at > now) return undefined
    const last = this.#entries.pop()
    if (last !== undefined && last !== first) this.#sink(last)
    return first.item
  }

  #sink(entry: Entry<T>): void {
    const entries = this.#entries
    let index = 0
    for (;;) {
      const left = 2 * index + 1
      const right = left + 1
      const child = (entries[right]?.at ?? Infinity) < (entries[left]?.at ?? Infinity) ? right : left
      const below = entries[child]
      if (below === undefined || below.at >= entry.at) break
      entries[index] = below
      index = child
    }
    entries[index] = entry
  }
}
