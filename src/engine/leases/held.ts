/**
 * One shard that this process holds, and the work on it.
 *
 *     working ──drain──▶ draining ──the work settles──▶ over, handed back
 *        └──────lose───────┴──▶ lost ──the work settles──▶ over: it was another's before
 */
import { SluiceError } from '../../core/errors.ts'
import type { TakenRow } from './statements.ts'

/** What the work on a shard is handed. */
export interface ShardLease {
  readonly shard: number
  /** Worker and epoch that every write under the lease compares. */
  readonly owner: string
  readonly epoch: string
  /** It was taken from a worker that died with it: work may have been left half done. */
  readonly orphaned: boolean
  /** Aborts when others want the shard, or at a stop: start nothing more, finish what runs, then settle. */
  readonly draining: AbortSignal
  /** Aborts when the shard is lost, or when there is no more time to finish: settle at once; no write counts any more. */
  readonly signal: AbortSignal
}

export class HeldLease implements ShardLease {
  readonly shard: number
  readonly owner: string
  readonly epoch: string
  readonly orphaned: boolean
  readonly #draining = new AbortController()
  readonly #lost = new AbortController()

  constructor(owner: string, { shard, epoch, orphaned }: TakenRow) {
    this.owner = owner
    this.shard = shard
    this.epoch = epoch
    this.orphaned = orphaned
  }

  get draining(): AbortSignal {
    return this.#draining.signal
  }
  get signal(): AbortSignal {
    return this.#lost.signal
  }
  get isWorking(): boolean {
    return !this.#draining.signal.aborted
  }

  drain(): void {
    this.#draining.abort(
      new SluiceError('SLUICE_SHUTDOWN', `shard ${this.shard} is handed to another worker`),
    )
  }

  lose(reason: unknown): void {
    this.#draining.abort(reason)
    this.#lost.abort(reason)
  }
}
