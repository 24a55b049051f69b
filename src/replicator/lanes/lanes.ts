/**
 * The lanes, and the batches that leave them.
 *
 *     receive ──► lane ──► shard ──► batch ──► sink.apply
 *                            ▲                    │ failed: waits again, in front; breaker counts
 *                            └────────────────────┘
 *
 * When a batch leaves. In a lane without a write under way, what came in the same turn of the event loop is sent at once
 * (`idle`). While one is under way, a shard gathers until it has `batchSize` changes (`size`) or its oldest has
 * waited for `batchTimeout` (`time`); it then takes up to `maxBatchChanges`. So a quiet stream is stored without
 * delay, and batches grow as the sink gets slower.
 *
 * When the sink fails. The changes wait again and later ones are put together with them. After `breaker` failures in a
 * row nothing is sent but one probe at a time; nothing is thrown away. A lane at its bound asks the source to pause.
 *
 * No promise, timer or closure is made for a message; one promise, one timer and one signal are made for a batch.
 */
import { waitOrAbort } from '../../core/abort.ts'
import { backoffMs } from '../../core/backoff.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import { hasCode } from '../../core/errors.ts'
import type { Breaker } from '../../policy/breaker.ts'
import type { Applied, Batch, LaneSpec } from '../contract.ts'
import type { Trigger } from '../counters.ts'
import { parseStreamId, type StreamId } from '../stream-id.ts'
import { Flights } from './flights.ts'
import { Lane } from './lane.ts'
import type { LanesObserver } from './observer.ts'
import { Positions } from './positions.ts'
import type { LanesSettings } from './settings.ts'
import type { Shard } from './shard.ts'

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
  #open = false
  #held = false
  #draining = false
  #isFull = false
  #pumpsThisTurn = false
  /** Monotonic time of this turn of the event loop; read once for all messages of a turn. */
  #turnMs: number | undefined
  #notBefore = 0
  #failures = 0
  #timer: Timer | undefined
  #timerAt = Infinity
  #nextLane = 0
  #waiters: (() => void)[] = []
  readonly #pump = (): void => {
    this.#pumpsThisTurn = false
    this.#turnMs = undefined
    this.#send()
  }

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
        new Lane(
          spec,
          {
            shards: settings.shards,
            maxChanges: settings.maxChanges[spec.name] ?? DEFAULT_MAX_CHANGES,
            maxBytes: settings.maxLaneBytes,
          },
          this.positions,
          keepsData,
          () => clock.now(),
          seed,
          (lane, at) => options.observer.disorder(lane.spec.name, at),
        ),
    )
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
    this.#pumpSoon()
    this.#turnMs ??= this.#options.clock.monotonic()
    return this.#turnMs
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
    this.#pumpSoon()
  }

  /** The session is over: what is held is let go, since it comes again from the cursor. Signals of writes abort. */
  reset(reason: Error): void {
    this.#open = false
    this.#flights.abandon(reason)
    for (const lane of this.lanes) lane.clear()
    this.positions.reset(undefined)
    this.#held = false
    this.#failures = 0
    this.#notBefore = 0
    this.#roomAgain()
    this.#wake()
  }

  /**
   * The stream goes on after `from`, and what came before it in between is missing. What waits is let go: the load that
   * follows has it, while a later partial on top of it would look newer than its row and lack what was missed.
   */
  gap(from: StreamId, reason: Error): void {
    const letters = this.lanes.map((lane) => {
      const waiting = lane.burials.map(({ letter }) => letter)
      return [...this.#flights.lettersOf(lane), ...waiting]
    })
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
    this.#notBefore = 0
    this.#pumpSoon()
  }

  /** A load is under way: partials without a base of it are set aside. Undefined when it is over; they go out again. */
  set load(load: string | undefined) {
    this.#flights.load = load
    if (load === undefined) for (const lane of this.lanes) lane.unparkAll()
    this.#pumpSoon()
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
    this.#pumpSoon()
  }

  /** Sends what waits without delay; resolves when nothing is held and each lane's place in the store has the cursor. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#draining = true
    this.#pumpSoon()
    try {
      await this.until(() => !this.#open || this.#isDrained(), signal)
    } finally {
      this.#draining = false
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
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAt = Infinity
  }

  #isDrained(): boolean {
    const cursor = this.cursor
    for (const lane of this.lanes) {
      if (lane.held - lane.parked > 0) return false
      if (!sameId(lane.storedCursor, cursor)) return false
    }
    return this.#flights.size === 0
  }

  #pumpSoon(): void {
    if (this.#pumpsThisTurn) return
    this.#pumpsThisTurn = true
    setImmediate(this.#pump)
  }

  #send(): void {
    if (!this.#open || this.#held) return
    const now = this.#options.clock.monotonic()
    if (now < this.#notBefore) {
      this.#arm(this.#notBefore, now)
      return
    }
    const { settings } = this.#options
    const count = this.lanes.length
    // Round robin over lanes and their shards, so that none starves when the writes under way are at their limit.
    const first = this.#nextLane++ % count
    for (let step = 0; step < count; step++) {
      const lane = this.lanes[(first + step) % count]!
      const { shards } = lane
      const from = lane.nextShard
      const isIdle = lane.inFlight === 0
      for (let offset = 0; offset < shards.length; offset++) {
        if (this.#flights.size >= settings.maxInFlight) return
        const index = (from + offset) % shards.length
        const shard = shards[index]!
        if (shard.batch !== 0) continue
        const trigger = this.#trigger(lane, shard, isIdle, now)
        if (trigger === undefined) continue
        const againMs = this.#flights.launch(lane, shard, trigger, now)
        if (againMs !== undefined) {
          if (againMs < Infinity) this.#arm(againMs, now)
          return
        }
        lane.nextShard = index + 1
      }
    }
  }

  /** Why the shard is to be sent now; undefined when not. `isIdle`: its lane has no write under way from before. */
  #trigger(lane: Lane, shard: Shard, isIdle: boolean, now: number): Trigger | undefined {
    const { batchSize, batchTimeoutMs, touchMs } = this.#options.settings
    const size = shard.waiting.size
    if (size >= batchSize) return 'size'
    const hasLetters = shard === lane.shards[0] && lane.burials.length > 0
    if (size > 0 || hasLetters) {
      if (this.#draining) return 'drain'
      if (isIdle) return 'idle'
      const oldest = shard.waiting.first?.receivedMs ?? now
      if (now - oldest >= batchTimeoutMs) return 'time'
      this.#arm(oldest + batchTimeoutMs, now)
      return undefined
    }
    if (shard !== lane.shards[0] || lane.inFlight > 0) return undefined
    const cursor = this.cursor
    if (cursor === undefined || sameId(cursor, lane.storedCursor)) return undefined
    if (this.#draining) return 'drain'
    if (now >= lane.touchDueMs) return 'time'
    this.#arm(Math.min(lane.touchDueMs, now + touchMs), now)
    return undefined
  }

  #ended(error: Error | undefined): void {
    if (error === undefined) {
      this.#failures = 0
      this.#roomAgain()
    } else if (hasCode(error, 'SLUICE_LEASE_LOST')) {
      this.#open = false
      this.#options.observer.lost(error)
      this.#wake()
      return
    } else {
      const { clock, random, settings } = this.#options
      this.#failures += 1
      this.#notBefore = clock.monotonic() + backoffMs(this.#failures, random(), settings.backoff)
    }
    this.#wake()
    this.#pumpSoon()
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

  /** One timer for everything that is due later: the earliest counts. */
  #arm(atMs: number, now: number): void {
    if (atMs >= this.#timerAt) return
    this.#timer?.cancel()
    this.#timerAt = atMs
    this.#timer = this.#options.clock.setTimer(
      () => {
        this.#timer = undefined
        this.#timerAt = Infinity
        this.#send()
      },
      Math.max(0, atMs - now),
    )
  }
}

const DEFAULT_MAX_CHANGES = 1_000

function sameId(a: StreamId | undefined, b: StreamId | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.ms === b.ms && a.seq === b.seq)
}
