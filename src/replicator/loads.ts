/** The loads of a replicator: whose data is in the store, the one under way, and the last one that was complete. */
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import type { Loader, PartContext, Sink } from './contract.ts'
import type { Lanes } from './lanes/lanes.ts'
import { runLoad, type LoadProgress, type LoadResult } from './load.ts'
import { streamIdText, type StreamId } from './stream-id.ts'

export interface LoadsOptions {
  readonly context: PartContext
  readonly lanes: Lanes
  readonly sink: Sink
  readonly loader: Loader | undefined
  /** Work that the replicator waits for when it stops. */
  readonly spawn: (what: string, work: Promise<void>) => void
  /** Something of it has changed. */
  readonly onChange: () => void
}

export class Loads {
  readonly #options: LoadsOptions
  #stored: string | undefined
  #progress: LoadProgress | undefined
  #underWay: AbortController | undefined
  #last: LoadResult | undefined

  constructor(options: LoadsOptions) {
    this.#options = options
  }

  /** The load whose data is in the store; undefined where none is complete. */
  get stored(): string | undefined {
    return this.#stored
  }
  /** Of the one under way. */
  get progress(): LoadProgress | undefined {
    return this.#progress
  }
  get last(): LoadResult | undefined {
    return this.#last
  }
  /** Is there data to follow the stream with, or will there be? */
  get hasData(): boolean {
    return this.#stored !== undefined || this.#progress !== undefined
  }

  /** A session begins, with the data of this load in the store. */
  begin(stored: string | undefined): void {
    this.#stored = stored
  }

  /** The session is over. */
  end(reason: Error): void {
    this.#underWay?.abort(reason)
    this.#underWay = undefined
    this.#progress = undefined
    this.#stored = undefined
  }

  /** Ends the one under way, as another is to begin. */
  cancel(): void {
    this.#underWay?.abort(new SluiceError('SLUICE_CANCELLED', 'another load begins'))
  }

  /** `onLost`: the lease was lost to another writer meanwhile. */
  start(from: StreamId, reason: string, onLost: (error: Error) => void): void {
    const { context, lanes, sink, loader, spawn, onChange } = this.#options
    this.cancel()
    const underWay = new AbortController()
    this.#underWay = underWay
    this.#stored = undefined
    context.log.info({ reason, from: streamIdText(from) }, `${context.name}: a load begins`)
    const { signal } = underWay
    const onProgress = (progress: LoadProgress): void => {
      if (signal.aborted) return
      this.#progress = progress
      onChange()
    }
    const work = runLoad({ context, lanes, sink, loader, from, reason, signal, onProgress }).then(
      (result) => {
        if (signal.aborted) return
        this.#underWay = undefined
        this.#progress = undefined
        this.#stored = result.load
        this.#last = result
        const durationMs = Math.round(result.durationMs)
        context.log.info({ ...result, durationMs }, `${context.name}: the load is complete`)
        onChange()
      },
      (error: unknown) => {
        if (signal.aborted) return
        if (hasCode(error, 'SLUICE_LEASE_LOST')) onLost(toError(error))
        else throw error
      },
    )
    spawn('a load', work)
    onChange()
  }
}
