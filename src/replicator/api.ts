/** What services are handed of a replicator. */
import type { ComponentBase } from '../app/component.ts'
import type { AsyncResult } from '../core/async-result.ts'
import type { DeadLetter } from './contract.ts'
import type { LaneCounters } from './counters.ts'
import type { LoadProgress } from './load.ts'
import type { Role } from './sessions.ts'

export interface LaneStats extends Readonly<Omit<LaneCounters, 'batches'>> {
  readonly batches: Readonly<LaneCounters['batches']>
  /** Changes that are held, those under way included. */
  readonly pending: number
  readonly pendingBytes: number
  /** Partials that wait for their rows while a load is under way. */
  readonly parked: number
  readonly limit: number
}

export interface ReplicatorStats {
  /** `active`: this process writes. `standby`: another holds the lease. */
  readonly role: Role
  readonly ready: boolean
  /** Why it is not ready; null when it is. */
  readonly notReady: string | null
  readonly live: boolean
  /** Everything up to here, `ms-seq`, is stored; null where nothing is known. */
  readonly cursor: string | null
  /** Newest stream id that was received. */
  readonly received: string | null
  /** Age of the oldest change that waits, in milliseconds. */
  readonly lagMs: number
  readonly inFlight: number
  readonly breaker: string
  readonly loading: Readonly<LoadProgress> | null
  readonly lanes: Readonly<Record<string, LaneStats>>
  readonly sessions: number
  readonly disconnects: number
  readonly reloads: number
  readonly pauses: number
}

export interface Replicator extends ComponentBase {
  /** May readers rely on the store? See the guide for what that means. */
  readonly ready: boolean
  stats(): ReplicatorStats
  /**
   * The newest dead letters first. Rejects with SLUICE_NOT_READY before it is connected, and with what the sink rejects with.
   * @param options `limit`: 1 to 1000, 100 by default
   */
  deadLetters(options?: {
    readonly limit?: number
    readonly signal?: AbortSignal
  }): AsyncResult<readonly DeadLetter[]>
  /** Reads the whole data set anew. Readiness is taken away until it is complete. @throws SLUICE_NOT_READY */
  reload(reason?: string): void
}
