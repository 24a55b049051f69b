/**
 * Batcher: gathers items of many callers into batches, and gives each caller the result of its own item.
 *
 * While nothing is being written, an item is sent at once, with what else is added in the same turn. While a write is in
 * flight, items gather; they go out when it is done, or beside it, where `maxInFlight` allows, as soon as they make a
 * full batch (by count or bytes) or the oldest has waited for `maxDelay`. So a quiet batcher adds no delay, and a busy
 * one makes batches as large as its sink is slow. `stats().triggers` counts which of these sent a batch.
 *
 * Promises:
 * - An accepted item is written in exactly one batch, in the order of adding, unless it was cancelled or dropped before;
 *   its result settles with what `write` answers for it. With `maxInFlight: 1`, the default, batches too keep that order.
 * - A batch never holds more than `maxItems`, nor more than `maxBytes` but for a single item of more.
 * - At most `maxWaiting` items and `maxWaitingBytes` wait outside of writes; `overflow` says what happens then.
 * - A write that fails or times out fails the items of its batch and no others. It is not repeated here: whether it may
 *   have taken effect is for `write` to know.
 */
import { AsyncResource } from 'node:async_hooks'
import { AsyncResult, fail } from '../core/async-result.ts'
import { onAbort, waitOrAbort } from '../core/abort.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { SluiceError } from '../core/errors.ts'
import type { Timer } from '../core/clock.ts'
import { BatchQueue, BatchEntry, settleBatch } from './batch-queue.ts'
import {
  bytesOf,
  checkBatcherOptions,
  type BatchAnswer,
  type BatcherOptions,
  type BatcherStats,
  type BatchTrigger,
  type CheckedBatcherOptions,
} from './batcher-options.ts'
import { closeTimeoutError, droppedError, fullError } from './pool-options.ts'
import { WorkerPool } from './worker-pool.ts'

export type { BatchAnswer, BatcherOptions, BatcherStats, BatchTrigger } from './batcher-options.ts'

const CLOSE_TIMEOUT = '10s'

export class Batcher<K, V = void> implements AsyncDisposable {
  readonly #options: CheckedBatcherOptions<K, V>
  readonly #queue: BatchQueue<K, V>
  /** Its slots are the writes in flight. */
  readonly #writers: WorkerPool
  /** Of no request: a batch holds items of many. */
  readonly #context = new AsyncResource('sluice.batcher')
  readonly #triggers: Record<BatchTrigger, number> = { idle: 0, count: 0, bytes: 0, time: 0, drain: 0 }
  #added = 0
  #batches = 0
  #items = 0
  #failedBatches = 0
  #rejected = 0
  #dropped = 0
  #sendsThisTurn = false
  #timer: Timer | undefined
  readonly #watched = new Set<'room' | 'idle'>()
  #drains = 0
  #empty: PromiseWithResolvers<void> | undefined
  #closing: Promise<void> | undefined

  /** Throws SLUICE_INVALID_ARGUMENT. Starts nothing. */
  constructor(options: BatcherOptions<K, V>) {
    this.#options = checkBatcherOptions(options)
    const { name, maxInFlight, clock } = this.#options
    this.#queue = new BatchQueue(`${name}: add`)
    this.#writers = new WorkerPool({ name, workers: maxInFlight, maxWaiting: 0, clock })
  }

  get name(): string {
    return this.#options.name
  }
  /** Items outside of writes. */
  get waiting(): number {
    return this.#queue.length
  }
  /** Their bytes; 0 without `sizeOf`. */
  get waitingBytes(): number {
    return this.#queue.bytes
  }
  /** Writes under way. */
  get inFlight(): number {
    return this.#writers.running
  }

  stats(): BatcherStats {
    return {
      added: this.#added,
      batches: this.#batches,
      items: this.#items,
      failedBatches: this.#failedBatches,
      rejected: this.#rejected,
      dropped: this.#dropped,
      triggers: { ...this.#triggers },
    }
  }

  /**
   * Adds an item. Its result rejects with what `write` throws or answers for it, SLUICE_POOL_FULL, SLUICE_DROPPED,
   * SLUICE_TIMEOUT, SLUICE_CLOSED, or the signal's reason. A cancelled item is not written, unless its batch is under
   * way already.
   */
  add(item: K, options: { readonly signal?: AbortSignal } = {}): AsyncResult<V> {
    this.#added += 1
    const { signal } = options
    if (signal?.aborted === true) return AsyncResult.reject(signal.reason)
    const bytes = bytesOf(item, this.#options)
    if (typeof bytes !== 'number') return AsyncResult.reject(bytes)
    const refusal = this.#makeRoom(bytes)
    if (refusal !== undefined) return AsyncResult.reject(refusal)
    const entry = new BatchEntry<K, V>(this.#queue, item, bytes, this.#options.clock.monotonic())
    if (signal !== undefined) entry.release = onAbort(signal, (reason) => entry.result.cancel(reason))
    this.#queue.push(entry)
    if (this.#isFull()) this.#send()
    else this.#schedule()
    return entry.result
  }

  /** Sends what waits without delay, and resolves when nothing waits and nothing is in flight. */
  async drain(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    options.signal?.throwIfAborted()
    if (this.#isEmpty()) return
    this.#empty ??= Promise.withResolvers<void>()
    const { promise } = this.#empty
    this.#drains += 1
    try {
      this.#send()
      await waitOrAbort(promise, options.signal)
    } finally {
      this.#drains -= 1
    }
  }

  /**
   * Takes no more items and writes what waits. At the timeout (10 s by default) the rest rejects with SLUICE_CLOSED, the
   * signals of writes abort, and close rejects with SLUICE_TIMEOUT. Repeated calls get the first one's promise.
   */
  close(options: { readonly timeout?: Duration } = {}): Promise<void> {
    const ms = durationMs(options.timeout ?? CLOSE_TIMEOUT, `${this.name}: close timeout`)
    this.#closing ??= this.#close(ms)
    return this.#closing
  }

  /** Closes. What was left at the timeout has been rejected, so nothing is thrown. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close().catch(() => {})
  }

  async #close(ms: number): Promise<void> {
    const { clock } = this.#options
    const controller = new AbortController()
    const timer = clock.setTimer(() => controller.abort(), ms)
    try {
      await this.drain({ signal: controller.signal })
    } catch {
      const running = this.#writers.running
      for (let entry = this.#queue.shift(); entry !== undefined; entry = this.#queue.shift()) {
        entry.release?.()
        fail(entry.result, this.#closedError())
      }
      await this.#writers.close({ timeout: 0 }).catch(() => {})
      throw closeTimeoutError(this.name, ms, running)
    } finally {
      timer.cancel()
      this.#timer?.cancel()
    }
    await this.#writers.close()
  }

  /** Why there is no place for an item, after what the policy can do. */
  #makeRoom(bytes: number): SluiceError | undefined {
    if (this.#closing !== undefined) return this.#closedError()
    const { overflow, maxWaiting, maxWaitingBytes, name } = this.#options
    const hasRoom = (): boolean =>
      this.#queue.length < maxWaiting &&
      (this.#queue.bytes + bytes <= maxWaitingBytes || this.#queue.length === 0)
    while (!hasRoom()) {
      if (overflow === 'reject') {
        this.#rejected += 1
        return fullError(`${name}: add`, this.#writers.running, this.#queue.length)
      }
      this.#dropped += 1
      if (overflow === 'drop-newest') return droppedError(`${name}: add`, 'the queue is full')
      const oldest = this.#queue.shift()
      oldest?.release?.()
      if (oldest !== undefined)
        fail(oldest.result, droppedError(`${name}: add`, 'the queue is full and it was the oldest'))
    }
    return undefined
  }

  #isFull(): boolean {
    return this.#queue.length >= this.#options.maxItems || this.#queue.bytes >= this.#options.maxBytes
  }

  #isEmpty(): boolean {
    return this.#queue.length === 0 && this.#writers.running === 0
  }

  /** Sees to it that what waits is sent in time: at the end of this turn, or when its delay has passed. */
  #schedule(): void {
    if (this.#writers.running === 0) {
      if (this.#sendsThisTurn) return
      this.#sendsThisTurn = true
      queueMicrotask(() => {
        this.#sendsThisTurn = false
        this.#send()
      })
      return
    }
    if (this.#timer !== undefined || this.#writers.free === 0) return
    const oldest = this.#queue.peek()
    if (oldest === undefined) return
    const { clock, maxDelayMs } = this.#options
    const wait = Math.max(0, oldest.addedAt + maxDelayMs - clock.monotonic())
    this.#timer = clock.setTimer(() => {
      this.#timer = undefined
      this.#send()
    }, wait)
  }

  #trigger(): BatchTrigger | undefined {
    const { maxItems, maxBytes, maxDelayMs, clock } = this.#options
    const oldest = this.#queue.peek()
    if (oldest === undefined) return undefined
    if (this.#queue.length >= maxItems) return 'count'
    if (this.#queue.bytes >= maxBytes) return 'bytes'
    if (this.#drains > 0 || this.#closing !== undefined) return 'drain'
    if (oldest.addedAt + maxDelayMs <= clock.monotonic()) return 'time'
    return this.#writers.running === 0 ? 'idle' : undefined
  }

  /** Sends batches as long as there is a reason to, and a write may start. */
  #send(): void {
    while (this.#writers.free > 0) {
      const trigger = this.#trigger()
      if (trigger === undefined) break
      const batch = this.#queue.take(this.#options.maxItems, this.#options.maxBytes)
      this.#triggers[trigger] += 1
      void this.#write(batch)
    }
    if (this.#queue.length > 0) this.#schedule()
  }

  async #write(batch: readonly BatchEntry<K, V>[]): Promise<void> {
    const { write, timeoutMs } = this.#options
    const items = batch.map((entry) => entry.item)
    const submit = (): AsyncResult<BatchAnswer<V>> =>
      this.#writers.submit((call) => write(items, call), { name: 'write', timeout: timeoutMs })
    this.#batches += 1
    this.#items += batch.length
    try {
      settleBatch(this.name, batch, await this.#context.runInAsyncScope(submit))
    } catch (error) {
      this.#failedBatches += 1
      for (const entry of batch) fail(entry.result, error)
    }
    for (const entry of batch) entry.release?.()
    this.#afterWrite()
  }

  #afterWrite(): void {
    this.#send()
    if (this.#isEmpty()) {
      this.#empty?.resolve()
      this.#empty = undefined
      return
    }
    // A write that timed out holds its slot until it stops, which no result tells.
    if (this.#writers.free === 0) this.#watch('room')
    if (this.#queue.length === 0) this.#watch('idle')
  }

  /** Goes on when a slot, or all of them, are free. */
  #watch(what: 'room' | 'idle'): void {
    if (this.#watched.has(what)) return
    this.#watched.add(what)
    const goOn = (): void => {
      this.#watched.delete(what)
      this.#afterWrite()
    }
    // Rejects only when the writers are closed, and then nothing is left to send.
    const free = what === 'room' ? this.#writers.room() : this.#writers.drain()
    free.then(goOn, () => {})
  }

  #closedError(): SluiceError {
    return new SluiceError('SLUICE_CLOSED', `"${this.name}" was closed and takes no more items`)
  }
}
