/** Options of a batcher, and what is said about bad ones. */
import { systemClock, type Clock } from '../core/clock.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { invalidArgument, type SluiceError } from '../core/errors.ts'
import type { TaskCall } from './worker-pool.ts'

/** What `write` answers: for each item a value, or an Error for one that failed; nothing at all where V is void. */
export type BatchAnswer<V> = readonly (V | Error)[] | (V extends void ? void : never)

export interface BatcherOptions<K, V> {
  /** For errors and metrics. */
  readonly name: string
  /** Writes one batch. The signal aborts at `timeout` and when `close` runs out of time. */
  readonly write: (items: readonly K[], call: TaskCall) => Promise<BatchAnswer<V>> | BatchAnswer<V>
  /** Items of one batch. @default 100 */
  readonly maxItems?: number
  /** Bytes of one batch, as `sizeOf` counts them. @default 1048576 */
  readonly maxBytes?: number
  /** Bytes of an item. Without it, bytes are not counted. */
  readonly sizeOf?: (item: K) => number
  /** How long an item waits for others while a write is in flight and another could start. @default '25ms' */
  readonly maxDelay?: Duration
  /** Writes at once; with 1 the order of all items is kept. @default 1 */
  readonly maxInFlight?: number
  /** Items that may wait outside of writes. @default 10000 */
  readonly maxWaiting?: number
  /** Bytes that may wait outside of writes. @default 67108864 */
  readonly maxWaitingBytes?: number
  /**
   * When that is used up: the new item rejects with SLUICE_POOL_FULL, or with SLUICE_DROPPED, or the oldest waiting ones
   * reject with SLUICE_DROPPED and make room. @default 'reject'
   */
  readonly overflow?: 'reject' | 'drop-newest' | 'drop-oldest'
  /** Limit of one write; its items reject with SLUICE_TIMEOUT. @default '30s' */
  readonly timeout?: Duration
  /** @default the system's */
  readonly clock?: Clock
}

/** Why a batch was sent: nothing was in flight, it was full, its oldest item had waited, or `drain` or `close` asked. */
export type BatchTrigger = 'idle' | 'count' | 'bytes' | 'time' | 'drain'

export interface BatcherStats {
  /** Items added, refused ones included. */
  readonly added: number
  /** Batches sent, and items in them. */
  readonly batches: number
  readonly items: number
  readonly failedBatches: number
  readonly rejected: number
  readonly dropped: number
  readonly triggers: Readonly<Record<BatchTrigger, number>>
}

export interface CheckedBatcherOptions<K, V> {
  readonly name: string
  readonly write: BatcherOptions<K, V>['write']
  readonly sizeOf: ((item: K) => number) | undefined
  readonly maxItems: number
  readonly maxBytes: number
  readonly maxDelayMs: number
  readonly maxInFlight: number
  readonly maxWaiting: number
  readonly maxWaitingBytes: number
  readonly overflow: 'reject' | 'drop-newest' | 'drop-oldest'
  readonly timeoutMs: number
  readonly clock: Clock
}

const DEFAULTS = {
  maxItems: 100,
  maxBytes: 1_048_576,
  maxDelay: '25ms',
  maxInFlight: 1,
  maxWaiting: 10_000,
  maxWaitingBytes: 67_108_864,
  overflow: 'reject',
  timeout: '30s',
} as const

/** The options with their defaults; throws SLUICE_INVALID_ARGUMENT. */
export function checkBatcherOptions<K, V>(options: BatcherOptions<K, V>): CheckedBatcherOptions<K, V> {
  const all = { ...DEFAULTS, ...options }
  const { name, overflow } = all
  if (typeof name !== 'string' || name === '') throw invalidArgument('Batcher: name', 'a name', name)
  for (const limit of ['maxItems', 'maxBytes', 'maxInFlight', 'maxWaiting', 'maxWaitingBytes'] as const) {
    const value = all[limit]
    if (!Number.isSafeInteger(value) || value < 1) {
      throw invalidArgument(`${name}: ${limit}`, 'a whole number of at least 1', value)
    }
  }
  if (!['reject', 'drop-newest', 'drop-oldest'].includes(overflow)) {
    throw invalidArgument(`${name}: overflow`, 'reject, drop-newest or drop-oldest', overflow)
  }
  return {
    name,
    overflow,
    write: all.write,
    sizeOf: all.sizeOf,
    maxItems: all.maxItems,
    maxBytes: all.maxBytes,
    maxInFlight: all.maxInFlight,
    maxWaiting: all.maxWaiting,
    maxWaitingBytes: all.maxWaitingBytes,
    maxDelayMs: durationMs(all.maxDelay, `${name}: maxDelay`),
    timeoutMs: durationMs(all.timeout, `${name}: timeout`),
    clock: all.clock ?? systemClock,
  }
}

/** Bytes of an item, 0 where they are not counted; an error where `sizeOf` gives no size. */
export function bytesOf<K, V>(item: K, options: CheckedBatcherOptions<K, V>): number | SluiceError {
  const { sizeOf, name } = options
  if (sizeOf === undefined) return 0
  const bytes = sizeOf(item)
  return Number.isFinite(bytes) && bytes >= 0
    ? bytes
    : invalidArgument(`${name}: sizeOf`, 'a number of bytes', bytes)
}
