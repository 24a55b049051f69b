/**
 * Gathers what must be written until the end of the turn, and while a write is under way until that has ended: one
 * statement for many items, and no delay for the first.
 *
 * What is written must bear being written twice: a write that fails is repeated, with growing pauses, until it succeeds
 * or `drop` is called.
 */
import { backoffMs } from '../core/backoff.ts'
import type { Clock, Timer } from '../core/clock.ts'
import { toError } from '../core/errors.ts'

export interface GatherOptions<T> {
  readonly write: (items: readonly T[]) => Promise<void>
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
  #scheduled = false
  #failures = 0
  #retry: Timer | undefined
  #idle: PromiseWithResolvers<void> | undefined
  #dropped = false

  constructor(options: GatherOptions<T>) {
    this.#options = options
  }

  /** Items that are not written yet. */
  get length(): number {
    return this.#waiting.length + this.#writing.length
  }

  get items(): readonly T[] {
    return [...this.#writing, ...this.#waiting]
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
    const { write, onFailure, clock, random } = this.#options
    const items = this.#writing
    try {
      await write(items)
    } catch (error) {
      if (this.#writing !== items) return
      onFailure(toError(error))
      this.#failures += 1
      const wait = backoffMs(this.#failures, random(), RETRY)
      this.#retry = clock.setTimer(() => void this.#write(), wait)
      return
    }
    if (this.#writing !== items) return
    this.#failures = 0
    this.#writing = []
    if (this.#waiting.length > 0) this.#start()
    else this.#settle()
  }

  #settle(): void {
    this.#idle?.resolve()
    this.#idle = undefined
  }
}
