/**
 * The lanes, and the batches that leave them.
 *
 *     receive ──► lane ──► shard ──► batch ──► sink.apply
 *                            ▲                    │ failed: waits again, in front; breaker counts
 *                            └────────────────────┘
 *
 * When the sink fails. The changes wait again and later ones are put together with them. After `breaker` failures in a
 * row nothing is sent but one probe at a time; nothing is thrown away. A lane at its bound asks the source to pause.
 *
 * No promise, timer or closure is made for a message; one promise, one timer and one signal are made for a batch.
 */
import { waitOrAbort } from '../../core/abort.ts'
import type { Clock } from '../../core/clock.ts'
import { hasCode } from '../../core/errors.ts'
import type { Breaker } from '../../policy/breaker.ts'
import type { Applied, Batch, LaneSpec } from '../contract.ts'
import { parseStreamId, sameStreamId, type StreamId } from '../stream-id.ts'
import { Departures } from './departures.ts'
import { Flights } from './flights.ts'
import { Lane } from './lane.ts'
import type { LanesObserver } from './observer.ts'
import { Positions } from './positions.ts'
import type { LanesSettings } from './settings.ts'

export interface LanesOptions {
  readonly specs: readonly LaneSpec[]
  readonly settings: LanesSettings
  readonly clock: Clock
  readonly random: () => number
  readonly breaker: Breaker
  readonly apply: (batch: Batch, signal: AbortSignal) => Promise<Applied>
  /** Changes of the kind full carry their parsed data. */
  readonly keepsData: boolean
  readonly observer: LanesObserver
}

/** Share of a bound below which the source may go on. */
const ROOM_SHARE = 0.75

export class Lanes {
  readonly lanes: readonly Lane[]
  readonly positions = new Positions()
  readonly #options: LanesOptions
  readonly #byName: ReadonlyMap<string, Lane>
  readonly #flights: Flights
  readonly #departures: Departures
  #open = false
  #held = false
  #isFull = false
  #waiters: (() => void)[] = []

  constructor(options: LanesOptions) {
    this.#options = options
    const { specs, settings, clock, keepsData } = options
    this.#flights = new Flights({
      ...options,
      positions: this.positions,
      ended: (error) => this.#ended(error),
    })
    const seed = Math.floor(options.random() * 2 ** 32)
    this.lanes = specs.map(
      (spec) =>
        new Lane({
          spec,
          limits: {
            shards: settings.shards,
            maxChanges: settings.maxChanges[spec.name] ?? DEFAULT_MAX_CHANGES,
            maxBytes: settings.maxLaneBytes,
          },
          positions: this.positions,
          keepsData,
          wallClock: () => clock.now(),
          seed,
          onDisorder: (lane, at) => options.observer.disorder(lane.spec.name, at),
        }),
    )
    this.#departures = new Departures({
      ...options,
      lanes: this.lanes,
      flights: this.#flights,
      cursor: () => this.cursor,
      isOpen: () => this.#open && !this.#held,
    })
    this.#byName = new Map(this.lanes.map((lane) => [lane.spec.name, lane]))
  }

  lane(name: string): Lane | undefined {
    return this.#byName.get(name)
  }

  get inFlight(): number {
    return this.#flights.size
  }
  get held(): number {
    let held = 0
    for (const lane of this.lanes) held += lane.held
    return held
  }
  /** At a bound: the source should not deliver. */
  get full(): boolean {
    return this.#isFull
  }
  /** Everything up to here is stored. */
  get cursor(): StreamId | undefined {
    return this.positions.cursor(0)
  }
  /** Monotonic time at which the oldest message that is not stored was received. */
  get oldestMs(): number | undefined {
    let oldest = this.#flights.oldestMs
    for (const lane of this.lanes) {
      for (const { waiting } of lane.shards) oldest = Math.min(oldest, waiting.first?.receivedMs ?? Infinity)
    }
    return oldest === Infinity ? undefined : oldest
  }

  /** Monotonic milliseconds of this turn, and a look at what can be sent once it is over. */
  turn(): number {
    return this.#departures.turn()
  }

  /** To be called after messages were put into lanes, with the lane: tells the source to pause at the bound. */
  check(lane: Lane): void {
    if (!this.#isFull && lane.full) {
      this.#isFull = true
      this.#options.observer.full(lane.spec.name)
    }
  }

  /** A session of the sink begins: everything up to `at` is stored. What was held was let go by `reset`. */
  begin(at: StreamId | undefined): void {
    this.positions.reset(at)
    for (const lane of this.lanes) lane.begin(at)
    this.#open = true
    this.#departures.soon()
  }

  /** The session is over: what is held is let go, since it comes again from the cursor. Signals of writes abort. */
  reset(reason: Error): void {
    this.#open = false
    this.#flights.abandon(reason)
    for (const lane of this.lanes) lane.clear()
    this.positions.reset(undefined)
    this.#held = false
    this.#departures.reset()
    this.#roomAgain()
    this.#wake()
  }

  /**
   * The stream goes on after `from`, and what came before it in between is missing. What waits is let go: the load that
   * follows has it, while a later partial on top of it would look newer than its row and lack what was missed.
   */
  gap(from: StreamId, reason: Error): void {
    const letters = this.lanes.map((lane) => [...this.#flights.lettersOf(lane), ...lane.burials.letters])
    this.reset(reason)
    this.begin(from)
    const now = this.turn()
    for (const [index, lane] of this.lanes.entries()) {
      // No load brings those again.
      for (const { text, reason: why, detail, id, streamId } of letters[index] ?? [])
        lane.bury(text, why, detail, id, parseStreamId(streamId), now)
    }
  }

  /** Tries at once what waits for a time: there is reason to think that it works now. */
  tryNow(): void {
    this.#departures.now()
  }

  /** A load is under way: partials without a base of it are set aside. Undefined when it is over; they go out again. */
  set load(load: string | undefined) {
    this.#flights.load = load
    if (load === undefined) for (const lane of this.lanes) lane.unparkAll()
    this.#departures.soon()
  }
  get load(): string | undefined {
    return this.#flights.load
  }

  /** Sends nothing until `release`; resolves when no batch is under way. */
  async hold(signal: AbortSignal): Promise<void> {
    this.#held = true
    await this.until(() => this.#flights.size === 0, signal)
  }

  release(): void {
    this.#held = false
    this.#departures.soon()
  }

  /** Sends what waits without delay; resolves when nothing is held and each lane's place in the store has the cursor. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#departures.isDraining = true
    this.#departures.soon()
    try {
      await this.until(() => !this.#open || this.#isDrained(), signal)
    } finally {
      this.#departures.isDraining = false
    }
  }

  /** Resolves when `isSo`, which is asked after each batch and each reset. */
  async until(isSo: () => boolean, signal: AbortSignal): Promise<void> {
    while (!isSo()) {
      signal.throwIfAborted()
      await waitOrAbort(new Promise<void>((resolve) => this.#waiters.push(resolve)), signal)
    }
  }

  close(): void {
    this.#open = false
    this.#departures.close()
  }

  #isDrained(): boolean {
    const cursor = this.cursor
    for (const lane of this.lanes) {
      if (lane.held - lane.parked > 0) return false
      if (!sameStreamId(lane.storedCursor, cursor)) return false
    }
    return this.#flights.size === 0
  }

  #ended(error: Error | undefined): void {
    if (error === undefined) {
      this.#departures.succeeded()
      this.#roomAgain()
    } else if (hasCode(error, 'SLUICE_LEASE_LOST')) {
      this.#open = false
      this.#options.observer.lost(error)
      this.#wake()
      return
    } else this.#departures.failed()
    this.#wake()
    this.#departures.soon()
  }

  #roomAgain(): void {
    if (!this.#isFull) return
    for (const lane of this.lanes) {
      const { maxChanges, maxBytes } = lane.limits
      if (lane.held >= maxChanges * ROOM_SHARE || lane.heldBytes >= maxBytes * ROOM_SHARE) return
    }
    this.#isFull = false
    this.#options.observer.room()
  }

  #wake(): void {
    if (this.#waiters.length === 0) return
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}

const DEFAULT_MAX_CHANGES = 1_000
