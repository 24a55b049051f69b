/**
 * Gathers what must be written until the end of the turn, and while a write is under way until that has ended: one
 * statement for many items, and no delay for the first.
 *
 * What is written must bear being written twice: a write that fails is repeated, with growing pauses, until it succeeds
 * or `drop` is called. Items that the database refuses for what they are would fail so for ever, and all others with
 * them: such a write is made in halves, down to the one that is refused, which `refused` ends in another way.
 */
import { backoffMs } from '../core/backoff.ts'
import type { Clock, Timer } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import { isRefusal } from '../engine/refusal.ts'

export interface GatherOptions<T> {
  readonly write: (items: readonly T[]) => Promise<void>
  /** Ends an item that is refused by itself. It is done with when this resolves; where it rejects, all of it is repeated. */
  readonly refused: (item: T, error: Error) => Promise<void>
  /** Items of one write, at most. */
  readonly maxItems: number
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** A write failed, and will be repeated. */
  readonly onFailure: (error: Error) => void
}

const RETRY = { baseMs: 50, capMs: 2_000 } as const

export class Gather<T> {
  readonly #options: GatherOptions<T>
  #waiting: T[] = []
  /** Those of the write under way or to be repeated. */
  #writing: readonly T[] = []
  /** Parts of a refused write, which follow that one. */
  #parts: readonly (readonly T[])[] = []
  #scheduled = false
  #failures = 0
  #failingSince: number | undefined
  #retry: Timer | undefined
  #idle: PromiseWithResolvers<void> | undefined
  #dropped = false

  constructor(options: GatherOptions<T>) {
    this.#options = options
  }

  /** Items that are not written yet. */
  get length(): number {
    return this.#waiting.length + this.#writing.length + this.#parts.flat().length
  }

  get items(): readonly T[] {
    return [...this.#writing, ...this.#parts.flat(), ...this.#waiting]
  }

  /** Monotonic time of the first of the failures in a row that last until now. */
  get failingSince(): number | undefined {
    return this.#failingSince
  }

  add(item: T): void {
    if (this.#dropped) return
    this.#waiting.push(item)
    if (this.#scheduled || this.#writing.length > 0) return
    this.#scheduled = true
    setImmediate(this.#start)
  }

  /** Resolves when all that was added is written or dropped. */
  idle(): Promise<void> {
    if (this.length === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers()
    return this.#idle.promise
  }

  /** Forgets all, and takes nothing more: what would be written counts no longer. */
  drop(): void {
    this.#dropped = true
    this.#waiting = []
    this.#writing = []
    this.#parts = []
    this.#failingSince = undefined
    this.#retry?.cancel()
    this.#settle()
  }

  readonly #start = (): void => {
    this.#scheduled = false
    if (this.#waiting.length === 0 || this.#dropped) return
    const { maxItems } = this.#options
    if (this.#waiting.length <= maxItems) {
      this.#writing = this.#waiting
      this.#waiting = []
    } else {
      this.#writing = this.#waiting.slice(0, maxItems)
      this.#waiting = this.#waiting.slice(maxItems)
    }
    void this.#write()
  }

  async #write(): Promise<void> {
    const { onFailure, clock, random } = this.#options
    const items = this.#writing
    try {
      await this.#try(items)
    } catch (error) {
      if (this.#writing !== items) return
      if (isRefusal(error) && items.length > 1) return this.#halve(items)
      onFailure(toError(error))
      this.#failures += 1
      this.#failingSince ??= clock.monotonic()
      const wait = backoffMs(this.#failures, random(), RETRY)
      this.#retry = clock.setTimer(() => void this.#write(), wait)
      return
    }
    if (this.#writing !== items) return
    this.#failures = 0
    this.#failingSince = undefined
    const [next = [], ...parts] = this.#parts
    this.#writing = next
    this.#parts = parts
    if (next.length > 0) void this.#write()
    else if (this.#waiting.length > 0) this.#start()
    else this.#settle()
  }

  async #try(items: readonly T[]): Promise<void> {
    const { write, refused } = this.#options
    try {
      await write(items)
    } catch (error) {
      const [item] = items
      if (item === undefined || items.length > 1 || !isRefusal(error) || this.#dropped) throw error
      await refused(item, toError(error))
    }
  }

  #halve(items: readonly T[]): void {
    const middle = Math.ceil(items.length / 2)
    this.#writing = items.slice(0, middle)
    this.#parts = [items.slice(middle), ...this.#parts]
    void this.#write()
  }

  #settle(): void {
    this.#idle?.resolve()
    this.#idle = undefined
  }
}
