/**
 * Sessions of the sink, one after another.
 *
 *     opening ──lease, state──► active ──lease lost──► opening
 *        │ another holds the lease: standby
 *
 * A session begins with the lease, and ends when that is lost: another took over, the store was emptied or went back in
 * time. The next one goes on from what is stored.
 */
import { waitOrAbort } from '../core/abort.ts'
import { backoffMs } from '../core/backoff.ts'
import { toError } from '../core/errors.ts'
import type { PartContext, Sink, SinkState } from './contract.ts'
import { SINK_CLOSE_MS } from './settings.ts'

export type Role = 'idle' | 'opening' | 'standby' | 'active' | 'closed'

/** One of them: what belongs to it counts no more once there is another. */
export interface Session {
  /** Ends it. */
  readonly lose: (error: Error) => void
}

export interface SessionsOptions {
  readonly context: Pick<PartContext, 'clock' | 'random'>
  readonly sink: Sink
  readonly lanes: readonly string[]
  /** The lease is ours, and this is what is stored. */
  readonly onBegin: (state: SinkState) => void
  /** Called once for each that began. What is in memory is to be let go. */
  readonly onEnd: (reason: Error) => void
  /** What went wrong with the sink, which is opened anew. */
  readonly onError: (error: unknown) => void
  /** The role is another one. */
  readonly onChange: () => void
}

const OPEN_BACKOFF = { baseMs: 100, capMs: 5_000 }

export class Sessions {
  readonly #options: SessionsOptions
  readonly #opened = Promise.withResolvers<void>()
  #role: Role = 'idle'
  #current: Session | undefined
  #count = 0

  constructor(options: SessionsOptions) {
    this.#options = options
  }

  get role(): Role {
    return this.#role
  }
  get current(): Session | undefined {
    return this.#current
  }
  /** Those that began. */
  get count(): number {
    return this.#count
  }
  /** Resolves when the sink was opened, or another is found to hold its lease. Rejects when the sink cannot be opened. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { context, sink, onError } = this.#options
    const { clock, random } = context
    let attempt = 0
    let wasOpen = false
    while (!signal.aborted) {
      this.#turn('opening')
      let state: SinkState
      const lost = Promise.withResolvers<Error>()
      try {
        state = await this.#open(lost.resolve, signal)
      } catch (error) {
        if (signal.aborted) return
        onError(error)
        if (!wasOpen) this.#opened.reject(toError(error))
        await clock.sleep(backoffMs(++attempt, random(), OPEN_BACKOFF), { signal }).catch(() => {})
        continue
      }
      attempt = 0
      wasOpen = true
      this.#begin(state, lost.resolve)
      const error = await waitOrAbort(lost.promise, signal).catch(() => undefined)
      if (error === undefined) return
      onError(error)
      this.end(error)
      await sink.close(AbortSignal.timeout(SINK_CLOSE_MS)).catch(onError)
    }
  }

  /** Ends the one that there is. */
  end(reason: Error): void {
    if (this.#current === undefined) return
    this.#current = undefined
    this.#options.onEnd(reason)
  }

  /** There will be no other. */
  close(): void {
    this.#turn('closed')
  }

  #open(onLost: (error: Error) => void, signal: AbortSignal): Promise<SinkState> {
    const { sink, lanes } = this.#options
    const onWaiting = (): void => {
      this.#turn('standby')
      this.#opened.resolve()
    }
    return sink.open({ lanes, onLost, onWaiting, signal })
  }

  #begin(state: SinkState, lose: (error: Error) => void): void {
    this.#count += 1
    this.#current = { lose }
    this.#options.onBegin(state)
    this.#turn('active')
    this.#opened.resolve()
  }

  #turn(role: Role): void {
    this.#role = role
    this.#options.onChange()
  }
}
