/** What the source says of the stream itself: that it is live, what was missed, and what came in no order. A gap needs a load. */
import { SluiceError } from '../core/errors.ts'
import type { PartContext } from './contract.ts'
import type { Lanes } from './lanes/lanes.ts'
import type { Loads } from './loads.ts'
import { streamIdText, type StreamId } from './stream-id.ts'

export interface FollowingOptions {
  readonly context: Pick<PartContext, 'log' | 'name'>
  readonly lanes: Lanes
  readonly loads: Loads
  /** The session that there is: nothing counts without one, or beyond its end. */
  readonly session: () => object | undefined
  readonly startLoad: (from: StreamId, reason: string) => void
  /** Something of it has changed. */
  readonly onChange: () => void
}

const DISORDER = 'the stream ids of the source do not ascend over all types of entities'

export class Following {
  readonly #options: FollowingOptions
  #isDisordered = false
  isLive = false
  /** Ever, since the start. */
  wasLive = false
  disconnects = 0
  reloads = 0

  constructor(options: FollowingOptions) {
    this.#options = options
  }

  live(after: StreamId, resumed: boolean): void {
    const { loads, session, onChange } = this.#options
    if (session() === undefined) return
    this.isLive = this.wasLive = true
    if (resumed && loads.hasData) {
      onChange()
      return
    }
    const isEmpty = loads.stored === undefined
    this.#gap(after, isEmpty ? 'no complete load is stored' : 'the stream could not be resumed')
  }

  reload(from: StreamId, reason: string): void {
    if (this.#options.session() === undefined) return
    this.isLive = this.wasLive = true
    this.reloads += 1
    this.#gap(from, reason)
  }

  disconnected(): void {
    this.isLive = false
    this.disconnects += 1
    this.#options.onChange()
  }

  /** The cursor may have passed what had not come yet, and a crash would lose it: only a load is sure to have all. */
  disorder(lane: string, at: StreamId): void {
    const { context, lanes, session } = this.#options
    const before = session()
    const { newest } = lanes.positions
    if (before === undefined || this.#isDisordered || newest === undefined) return
    this.#isDisordered = true
    context.log.error(
      { lane, at: streamIdText(at), after: streamIdText(newest) },
      `${context.name}: ${DISORDER}, so everything is loaded anew`,
    )
    // Not from within the message, which is still to be taken.
    setImmediate(() => {
      this.#isDisordered = false
      const from = lanes.positions.newest
      if (session() !== before || from === undefined) return
      this.reloads += 1
      this.#gap(from, DISORDER)
    })
  }

  /** Messages were missed, so that a load is needed; what came before them is let go. */
  #gap(from: StreamId, reason: string): void {
    const { lanes, loads, startLoad } = this.#options
    // Before the lanes are reset, which would free what a load under way holds.
    loads.cancel()
    lanes.gap(from, new SluiceError('SLUICE_CANCELLED', reason))
    startLoad(from, reason)
  }
}
