/** First in, first out; entries that are done already are passed over. Bounded by who pushes (operate's pool). */
/** Entries that are done and passed over again and again, before they are taken out. */
const MAX_DONE = 64

export class Line<T> {
  readonly #isDone: (entry: T) => boolean
  #entries: T[] = []
  #start = 0

  constructor(isDone: (entry: T) => boolean) {
    this.#isDone = isDone
  }

  get isEmpty(): boolean {
    return this.peek() === undefined
  }

  /** Entries that still wait. */
  get length(): number {
    this.#compact()
    return this.#entries.length
  }

  /** The same, up to `most`: looks no further, so that it may be asked at each answer. */
  lengthUpTo(most: number): number {
    let waiting = 0
    let done = 0
    for (let index = this.#start; index < this.#entries.length && waiting < most; index++) {
      if (this.#isDone(this.#entries[index] as T)) done++
      else waiting++
    }
    if (done > MAX_DONE) this.#compact()
    return waiting
  }

  push(entry: T): void {
    this.#entries.push(entry)
  }

  peek(): T | undefined {
    while (this.#start < this.#entries.length) {
      const entry = this.#entries[this.#start] as T
      if (!this.#isDone(entry)) return entry
      this.#start++
    }
    this.#entries = []
    this.#start = 0
    return undefined
  }

  shift(): T | undefined {
    const entry = this.peek()
    if (entry !== undefined) this.#start++
    if (this.#start > 64 && this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start)
      this.#start = 0
    }
    return entry
  }

  /** Does one that waits fit? */
  has(fits: (entry: T) => boolean): boolean {
    for (let index = this.#start; index < this.#entries.length; index++) {
      const entry = this.#entries[index] as T
      if (!this.#isDone(entry) && fits(entry)) return true
    }
    return false
  }

  /** Takes out the first entry that fits. */
  take(fits: (entry: T) => boolean): T | undefined {
    this.#compact()
    const index = this.#entries.findIndex(fits)
    return index === -1 ? undefined : this.#entries.splice(index, 1)[0]
  }

  #compact(): void {
    this.#entries = this.#entries.slice(this.#start).filter((entry) => !this.#isDone(entry))
    this.#start = 0
  }
}
