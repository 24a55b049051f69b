/** Where entities are stored. */
import type { StreamId } from '../stream-id.ts'
import type { Applied, Batch, DeadLetter } from './changes.ts'

/** What the store said when the sink was opened, read under the lease. */
export interface SinkState {
  /** Lowest of the cursors of all lanes; undefined where a lane has none. */
  readonly cursor: StreamId | undefined
  /** The load whose data this is, where every lane has the marker of this schema version; undefined where not. */
  readonly load: string | undefined
}

export interface OpenOptions {
  readonly lanes: readonly string[]
  /** The lease is gone, was taken, or the store went back in time: called at most once a session. */
  readonly onLost: (error: Error) => void
  /** Another writer holds the lease, so that `open` waits for it: called at least once then. */
  readonly onWaiting: () => void
  readonly signal: AbortSignal
}

/**
 * Where entities are stored. One session at a time: `open` … `close`; after `onLost`, or an `apply` that rejects with
 * SLUICE_LEASE_LOST, only `close` and then `open` are called.
 */
export interface Sink {
  /** 'redis', 'memory': for logs and metrics. */
  readonly kind: string
  /** It looks into full changes (for lookup keys), so that they are to carry `data`. Costs memory while they wait. */
  readonly readsData: boolean

  /**
   * Takes the lease (waiting for it until `signal` aborts, if another holds it), with a fencing token above every one
   * before it, then reads the state. From then on the sink renews the lease by itself. Safe to call again after it rejected.
   */
  open(options: OpenOptions): Promise<SinkState>

  /**
   * One atomic unit a batch, or single operations with the same guarantee, each harmless when it is done twice: checks
   * the fence, stores each change if nothing newer is stored (a delete leaves a tombstone with its version), corrects the
   * lookups, keeps the dead letters, stores the cursor if it is higher.
   * Rejects with SLUICE_LEASE_LOST when another writer holds the lease, the lease is not in the store any more (it was
   * emptied), or the store is older than what it acknowledged (failover); nothing was stored then. With any other
   * error the outcome may be unknown, and the replicator hands the changes over again, perhaps in newer states: the
   * sink sees to it that a late arrival of the first attempt cannot undo that (by a higher token after a lost connection).
   */
  apply(batch: Batch, signal: AbortSignal): Promise<Applied>

  /**
   * A load begins: takes readiness away before anything else and returns when that is stored. What is stored stays
   * readable. Changes that are applied from now on belong to the load `load`, also the live ones.
   */
  beginLoad(load: string, signal: AbortSignal): Promise<void>

  /**
   * Every row of every page is stored: removes what is in the store, does not belong to `load`, and has no version
   * above `before` (the lowest stream id of a page); then stores the marker of schema version and load.
   * Works in bounded steps, each fenced. Calls `progress` with the number of entities looked at so far.
   * @returns how many were removed
   */
  finishLoad(
    load: string,
    before: StreamId,
    options: { readonly signal: AbortSignal; readonly progress: (scanned: number) => void },
  ): Promise<{ readonly removed: number }>

  /** Rejects when a write would fail now. Must not write. */
  check(signal: AbortSignal): Promise<void>

  /** The newest dead letters first, at most `limit`. */
  deadLetters(limit: number, signal: AbortSignal): Promise<readonly DeadLetter[]>

  /** Gives the lease back, so that a successor starts at once, and closes connections. Never rejects for a lost lease. */
  close(signal: AbortSignal): Promise<void>

  /** JSON facts, no secret; synchronous and cheap. */
  inspect(): Readonly<Record<string, unknown>>
}
