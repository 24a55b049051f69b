/** Items that wait to be written, with their results, and how those are settled. */
import { fail, fulfil, pendingResult, type AsyncResult, type ResultOwner } from '../core/async-result.ts'
import { invalidArgument } from '../core/errors.ts'
import { Ring } from '../core/ring.ts'
import type { BatchAnswer } from './batcher-options.ts'

/** Fewer cancelled entries than this are not worth a sweep. */
const SWEEP_ABOVE = 32

export class BatchEntry<K, V> implements ResultOwner {
  readonly name: string
  readonly item: K
  readonly bytes: number
  /** Monotonic milliseconds. */
  readonly addedAt: number
  readonly result: AsyncResult<V>
  readonly #queue: BatchQueue<K, V>
  waiting = false
  release: (() => void) | undefined

  constructor(queue: BatchQueue<K, V>, item: K, bytes: number, addedAt: number) {
    this.#queue = queue
    this.name = queue.name
    this.item = item
    this.bytes = bytes
    this.addedAt = addedAt
    this.result = pendingResult<V>(this)
  }

  /** Called by the result. */
  cancel(): void {
    this.release?.()
    this.#queue.remove(this)
  }
}

export class BatchQueue<K, V> {
  readonly name: string
  readonly #ring = new Ring<BatchEntry<K, V>>()
  #length = 0
  #bytes = 0

  /** `name`: what the results are called. */
  constructor(name: string) {
    this.name = name
  }

  get length(): number {
    return this.#length
  }
  get bytes(): number {
    return this.#bytes
  }

  push(entry: BatchEntry<K, V>): void {
    entry.waiting = true
    this.#ring.push(entry)
    this.#length += 1
    this.#bytes += entry.bytes
  }

  /** The oldest that was not cancelled. */
  peek(): BatchEntry<K, V> | undefined {
    for (let entry = this.#ring.peek(); entry !== undefined; entry = this.#ring.peek()) {
      if (entry.waiting) return entry
      this.#ring.shift()
    }
    return undefined
  }

  shift(): BatchEntry<K, V> | undefined {
    const entry = this.peek()
    if (entry === undefined) return undefined
    this.#ring.shift()
    this.#forget(entry)
    return entry
  }

  /** The oldest ones, as many as fit; at least one. */
  take(maxItems: number, maxBytes: number): BatchEntry<K, V>[] {
    const batch: BatchEntry<K, V>[] = []
    let bytes = 0
    while (batch.length < maxItems) {
      const next = this.peek()
      if (next === undefined || (batch.length > 0 && bytes + next.bytes > maxBytes)) break
      bytes += next.bytes
      this.#ring.shift()
      this.#forget(next)
      batch.push(next)
    }
    return batch
  }

  remove(entry: BatchEntry<K, V>): void {
    if (!entry.waiting) return
    this.#forget(entry)
    const empty = this.#ring.length - this.#length
    if (empty > SWEEP_ABOVE && empty > this.#length) this.#ring.filter((other) => other.waiting)
  }

  #forget(entry: BatchEntry<K, V>): void {
    entry.waiting = false
    this.#length -= 1
    this.#bytes -= entry.bytes
  }
}

/** Gives each item of a batch what its `write` answered for it. Throws when the answers are not one for each. */
export function settleBatch<K, V>(
  name: string,
  batch: readonly BatchEntry<K, V>[],
  answer: BatchAnswer<V>,
): void {
  if (answer !== undefined && answer.length !== batch.length)
    throw invalidArgument(`${name}: write`, `${batch.length} answers, one for each item`, answer.length)
  for (const [index, entry] of batch.entries()) {
    const value = answer?.[index]
    if (value instanceof Error) fail(entry.result, value)
    else fulfil(entry.result, value as V)
  }
}
