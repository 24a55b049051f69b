/**
 * The keys of the in-memory backend: a map in order of use, bounded by entries and by bytes.
 *
 * A key past its time is gone for every reader at once, and its memory is freed by `sweep`, which looks at a few keys
 * at a time. When a write would exceed a bound, the keys that were used longest ago go first; pinned ones (locks,
 * sessions, limiters) never, and when only those are left the write is refused with SLUICE_OVERLOADED.
 * Time is monotonic, so that a jump of the wall clock ends nothing early.
 */
import { SluiceError } from '../../../core/errors.ts'
import type { Clock } from '../../../core/clock.ts'
import { OVERHEAD_BYTES, textBytes, wrongType, type Entry, type EntryType, type EntryValue } from './entry.ts'

export interface StoreLimits {
  readonly maxEntries: number
  readonly maxBytes: number
}

type ValueOf<T extends EntryType> = Extract<EntryValue, { type: T }>
export type EntryOf<T extends EntryType> = Entry & { readonly value: ValueOf<T> }

export class MemoryStore {
  readonly #limits: StoreLimits
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #entries = new Map<string, Entry>()
  #sweeper: Iterator<[string, Entry]> | undefined
  #bytes = 0
  #evicted = 0
  #expired = 0
  /** Entries written while it is set are pinned. */
  pinning = false

  constructor(limits: StoreLimits, clock: Pick<Clock, 'monotonic'>) {
    this.#limits = limits
    this.#clock = clock
  }

  get facts(): {
    readonly entries: number
    readonly bytes: number
    readonly evicted: number
    readonly expired: number
  } {
    return {
      entries: this.#entries.size,
      bytes: this.#bytes,
      evicted: this.#evicted,
      expired: this.#expired,
    }
  }

  now(): number {
    return this.#clock.monotonic()
  }

  /** The entry of a key, which becomes the one used last. */
  get(key: string): Entry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.expiresAt <= this.now()) {
      this.#drop(key, entry)
      this.#expired += 1
      return undefined
    }
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry
  }

  /** As `get`, and refuses an entry of another type as the server does. */
  typed<T extends EntryType>(key: string, type: T): EntryOf<T> | undefined {
    const entry = this.get(key)
    if (entry === undefined) return undefined
    if (entry.value.type !== type) throw wrongType()
    return entry as EntryOf<T>
  }

  /** The entry of a key, made by `create` where there is none. */
  typedOrNew<T extends EntryType>(key: string, type: T, create: () => ValueOf<T>): EntryOf<T> {
    return this.typed(key, type) ?? (this.put(key, create()) as EntryOf<T>)
  }

  /** Replaces what the key holds; its time to live ends unless `expiresAt` is given. `bytes` is what the value holds. */
  put(key: string, value: EntryValue, bytes = 0, expiresAt = Infinity): Entry {
    const before = this.#entries.get(key)
    const entry: Entry = {
      value,
      expiresAt,
      bytes: OVERHEAD_BYTES + textBytes(key) + bytes,
      pinned: this.pinning || (before?.pinned ?? false),
    }
    this.#mustFit(entry.bytes)
    this.#makeRoom(entry.bytes - (before?.bytes ?? 0), before === undefined ? 1 : 0, key)
    if (before !== undefined) this.#drop(key, before)
    this.#entries.set(key, entry)
    this.#bytes += entry.bytes
    return entry
  }

  /** Counts bytes that an entry gained or lost. Call it before what it counts is added. */
  grow(key: string, entry: Entry, bytes: number): void {
    try {
      if (bytes > 0) {
        this.#mustFit(entry.bytes + bytes)
        this.#makeRoom(bytes, 0, key)
      }
    } catch (error) {
      // It was made for what does not fit now: an empty list or set is no key.
      if (entry.bytes === OVERHEAD_BYTES + textBytes(key)) this.#drop(key, entry)
      throw error
    }
    entry.bytes += bytes
    this.#bytes += bytes
  }

  delete(key: string): boolean {
    const entry = this.get(key)
    if (entry !== undefined) this.#drop(key, entry)
    return entry !== undefined
  }

  /** Moves an entry to another key, over what is there. */
  rename(from: string, to: string, entry: Entry): void {
    this.#drop(from, entry)
    const target = this.#entries.get(to)
    if (target !== undefined) this.#drop(to, target)
    entry.bytes += textBytes(to) - textBytes(from)
    this.#entries.set(to, entry)
    this.#bytes += entry.bytes
  }

  clear(): void {
    this.#entries.clear()
    this.#bytes = 0
  }

  /** Every key that lives, without touching its place in the order of use. */
  *keys(): Generator<[string, Entry]> {
    const now = this.now()
    for (const pair of this.#entries) if (pair[1].expiresAt > now) yield pair
  }

  /** Frees what has expired among the next `count` keys. Called from a timer. */
  sweep(count: number): void {
    const now = this.now()
    this.#sweeper ??= this.#entries.entries()
    for (let looked = 0; looked < count; looked += 1) {
      const next = this.#sweeper.next()
      if (next.done === true) {
        this.#sweeper = undefined
        return
      }
      const [key, entry] = next.value
      if (entry.expiresAt > now) continue
      this.#drop(key, entry)
      this.#expired += 1
    }
  }

  #drop(key: string, entry: Entry): void {
    this.#entries.delete(key)
    this.#bytes -= entry.bytes
  }

  #makeRoom(bytes: number, entries: number, keep: string): void {
    const { maxBytes, maxEntries } = this.#limits
    const fits = (): boolean => this.#bytes + bytes <= maxBytes && this.#entries.size + entries <= maxEntries
    if (fits()) return
    for (const [key, entry] of this.#entries) {
      if (key === keep || entry.pinned) continue
      this.#drop(key, entry)
      if (entry.expiresAt <= this.now()) this.#expired += 1
      else this.#evicted += 1
      if (fits()) return
    }
    throw this.#full('the in-memory store is full of what may not be evicted', true)
  }

  /** Found out before anything else is evicted for it. */
  #mustFit(bytes: number): void {
    if (bytes > this.#limits.maxBytes) throw this.#full('a value is larger than the in-memory store', false)
  }

  #full(message: string, retryable: boolean): SluiceError {
    return new SluiceError('SLUICE_OVERLOADED', message, {
      retryable,
      hint: 'Raise maxEntries or maxBytes of the redis component, or set REDIS_ADDR.',
      details: { maxBytes: this.#limits.maxBytes, maxEntries: this.#limits.maxEntries },
    })
  }
}
