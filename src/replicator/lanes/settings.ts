/** What the lanes are told: sizes, times and limits. */
import type { Backoff } from '../../core/backoff.ts'

export interface LanesSettings {
  /** Shards of each lane. */
  readonly shards: number
  /** Changes that a shard gathers, while other writes are under way, before it is sent. */
  readonly batchSize: number
  /** A change waits no longer than this for its batch to grow, in milliseconds. */
  readonly batchTimeoutMs: number
  /** Changes in one batch at most. */
  readonly maxBatchChanges: number
  /** Size of one batch at most, but for a single larger change. */
  readonly maxBatchBytes: number
  /** Batches under way at once, of all lanes. */
  readonly maxInFlight: number
  /** Limit of one write, in milliseconds. */
  readonly writeTimeoutMs: number
  /** Between writes that fail while the breaker is closed. */
  readonly backoff: Backoff
  /** A lane without traffic has its copy of the cursor renewed this often, in milliseconds. */
  readonly touchMs: number
  /** Changes held by a lane at most, by its name. */
  readonly maxChanges: Readonly<Record<string, number>>
  /** Bytes held by a lane at most. */
  readonly maxLaneBytes: number
}

/** Dead letters in one batch at most. */
export const MAX_LETTERS = 100
