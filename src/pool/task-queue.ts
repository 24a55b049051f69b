/**
 * Tasks that wait: first in, first out within a priority, with ageing between priorities.
 *
 * The next task is the one with the smallest `arrival + priority * AGEING_STEP`. A waiting task is therefore overtaken
 * by at most AGEING_STEP later ones per level of difference, however many urgent ones keep coming, and no clock is read.
 *
 * A removed task stays in its ring as an empty entry until it is reached, or until the empty ones outnumber the living:
 * then all are swept out, so that a stuck pool with impatient callers does not collect them.
 */
import { Ring } from '../core/ring.ts'

/** What the queue knows of a task. */
export interface QueueEntry {
  /** 0 (first) to 9. */
  readonly priority: number
  /**
   * Set by the queue: the number of its arrival while it waits, and the complement of that, a negative number, when it
   * was taken or removed. NOT_QUEUED at first.
   */
  arrival: number
}

/** `arrival` of an entry that was never in a queue. */
export const NOT_QUEUED = -1

export const PRIORITIES = 10
export const AGEING_STEP = 64
/** Fewer empty entries than this are not worth a sweep. */
const SWEEP_ABOVE = 32

export class TaskQueue<Entry extends QueueEntry> {
  readonly #levels: (Ring<Entry> | undefined)[] = Array.from({ length: PRIORITIES })
  /** Bit n is set while level n holds entries, empty ones included. */
  #occupied = 0
  #arrivals = 0
  #length = 0
  #empty = 0

  /** Tasks that wait, removed ones not counted. */
  get length(): number {
    return this.#length
  }

  push(entry: Entry): void {
    const { priority } = entry
    const level = (this.#levels[priority] ??= new Ring<Entry>())
    entry.arrival = this.#arrivals++
    level.push(entry)
    this.#occupied |= 1 << priority
    this.#length += 1
  }

  /** Takes the task whose turn it is. */
  shift(): Entry | undefined {
    if (this.#length === 0) return undefined
    for (;;) {
      const entry = this.#take(this.#nextLevel())
      if (entry === undefined) return undefined
      if (entry.arrival < 0) {
        this.#empty -= 1
        continue
      }
      entry.arrival = ~entry.arrival
      this.#length -= 1
      return entry
    }
  }

  /** Takes a waiting task out. False when it does not wait. */
  remove(entry: Entry): boolean {
    if (entry.arrival < 0) return false
    entry.arrival = ~entry.arrival
    this.#length -= 1
    this.#empty += 1
    if (this.#empty > SWEEP_ABOVE && this.#empty > this.#length) this.#sweep()
    return true
  }

  /** Puts `next`, of the same priority, in the place of a waiting task, with that one's turn. */
  replace(entry: Entry, next: Entry): void {
    const { arrival } = entry
    const level = this.#levels[entry.priority]
    const index = level?.search((other) => (other.arrival < 0 ? ~other.arrival : other.arrival) - arrival)
    if (level === undefined || index === undefined) return
    entry.arrival = ~arrival
    next.arrival = arrival
    level.set(index, next)
  }

  /** The oldest task of the least urgent level: whom to drop when something must go. */
  leastUrgent(): Entry | undefined {
    while (this.#occupied !== 0) {
      const priority = 31 - Math.clz32(this.#occupied)
      const first = this.#levels[priority]?.peek()
      if (first !== undefined && first.arrival >= 0) return first
      this.#take(priority)
      this.#empty -= 1
    }
    return undefined
  }

  /** Level of the task whose turn it is. Called only while tasks wait. */
  #nextLevel(): number {
    const occupied = this.#occupied
    const first = 31 - Math.clz32(occupied & -occupied)
    if ((occupied & (occupied - 1)) === 0) return first
    let best = first
    let bestTurn = Infinity
    for (let priority = first; priority < PRIORITIES; priority += 1) {
      const head = this.#head(priority)
      if (head === undefined) continue
      const turn = head.arrival + priority * AGEING_STEP
      if (turn < bestTurn) {
        best = priority
        bestTurn = turn
      }
    }
    return best
  }

  /** First living entry of a level; empty ones before it are thrown away. */
  #head(priority: number): Entry | undefined {
    const level = this.#levels[priority]
    if (level === undefined) return undefined
    for (let entry = level.peek(); entry !== undefined; entry = level.peek()) {
      if (entry.arrival >= 0) return entry
      this.#take(priority)
      this.#empty -= 1
    }
    return undefined
  }

  #take(priority: number): Entry | undefined {
    const level = this.#levels[priority]
    const entry = level?.shift()
    if (level === undefined || level.length === 0) this.#occupied &= ~(1 << priority)
    return entry
  }

  #sweep(): void {
    for (let priority = 0; priority < PRIORITIES; priority += 1) {
      const level = this.#levels[priority]
      if (level === undefined) continue
      level.filter((entry) => entry.arrival >= 0)
      if (level.length === 0) this.#occupied &= ~(1 << priority)
    }
    this.#empty = 0
  }
}
