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
import { hasCode, SluiceError, toError } from '../../core/errors.ts'
import { REFUSED, type Breaker, type Generation } from '../../policy/breaker.ts'
import type { Applied, Batch, DeadLetter, LaneSpec } from '../contract.ts'
import type { Trigger } from '../counters.ts'
import { isAfter, parseStreamId, type StreamId } from '../stream-id.ts'
import { Lane, type Burial, type Shard } from './lane.ts'
import { Positions } from './positions.ts'
import { MAX_LETTERS, type LanesSettings } from './settings.ts'
import type { Slot } from './slot.ts'

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

/** Told of what happens; must not throw. */
export interface LanesObserver {
  /** A lane is at its bound. */
  full(lane: string): void
  /** Every lane has room again. */
  room(): void
  /** The lease is lost: nothing is sent any more until `reset`. */
  lost(error: Error): void
  failed(lane: string, error: Error): void
  /** A batch is stored. `receivedMs` of each change is still there to be read. */
  stored(lane: string, slots: readonly Slot[], durationMs: number, now: number): void
  dead(lane: string, letter: DeadLetter): void
}

interface Flight {
  readonly number: number
  readonly lane: Lane
  readonly shard: Shard
  readonly slots: readonly Slot[]
  readonly burials: readonly Burial[]
  readonly cursor: StreamId | undefined
  readonly generation: Generation
  readonly session: number
  readonly controller: AbortController
}

/** Share of a bound below which the source may go on. */
const ROOM_SHARE = 0.75

export class Lanes {
  readonly lanes: readonly Lane[]
  readonly positions = new Positions()
  readonly #options: LanesOptions
  readonly #byName: ReadonlyMap<string, Lane>
  readonly #flights = new Set<Flight>()
  /** Counts resets: what belongs to an earlier session changes nothing any more. */
  #session = 0
  #batches = 0
  #open = false
  #held = false
  #draining = false
  #load: string | undefined
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
    let oldest: number | undefined
    const see = (ms: number): void => {
      if (oldest === undefined || ms < oldest) oldest = ms
    }
    for (const flight of this.#flights) for (const slot of flight.slots) see(slot.receivedMs)
    for (const lane of this.lanes) {
      for (const shard of lane.shards) {
        for (const slot of shard.waiting.values()) {
          see(slot.receivedMs)
          break
        }
      }
    }
    return oldest
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
    this.#open = true
    this.#pumpSoon()
  }

  /** The session is over: what is held is let go, since it comes again from the cursor. Signals of writes abort. */
  reset(reason: Error): void {
    this.#session += 1
    this.#open = false
    for (const flight of this.#flights) {
      for (const slot of flight.slots) flight.lane.counters.returned += slot.messages
      for (const burial of flight.burials) flight.lane.counters.returned += burial.messages
      flight.controller.abort(reason)
    }
    this.#flights.clear()
    for (const lane of this.lanes) lane.clear()
    this.positions.reset(undefined)
    this.#load = undefined
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
      const flights = [...this.#flights].filter((flight) => flight.lane === lane)
      return [...flights.flatMap(({ burials }) => burials), ...lane.burials].map(({ letter }) => letter)
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

  /** A load is under way: partials without a base of it are set aside. Undefined when it is over; they go out again. */
  set load(load: string | undefined) {
    this.#load = load
    if (load === undefined) for (const lane of this.lanes) lane.unparkAll()
    this.#pumpSoon()
  }
  get load(): string | undefined {
    return this.#load
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
        if (!this.#launch(lane, shard, trigger, now)) return
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
      const oldest = size > 0 ? firstOf(shard.waiting).receivedMs : now
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

  /** @returns whether more may be sent */
  #launch(lane: Lane, shard: Shard, trigger: Trigger, now: number): boolean {
    const { breaker, settings, clock } = this.#options
    const generation = breaker.enter(now)
    if (generation === REFUSED) {
      const state = breaker.state
      // While a probe is under way, its end looks again.
      if (state.kind === 'open') this.#arm(state.until, now)
      else if (state.kind === 'half-open') this.#arm(state.leaseUntil, now)
      return false
    }
    const number = ++this.#batches
    const slots = lane.takeBatch(shard, number, settings.maxBatchChanges, settings.maxBatchBytes)
    const burials = shard === lane.shards[0] ? lane.burials.splice(0, MAX_LETTERS) : []
    for (const burial of burials) burial.slot.batch = number
    const cursor = this.positions.cursor(number)
    lane.inFlight += 1
    lane.counters.batches[trigger] += 1
    lane.touchDueMs = now + settings.touchMs
    const session = this.#session
    const controller = new AbortController()
    const flight = { number, lane, shard, slots, burials, cursor, generation, session, controller }
    this.#flights.add(flight)
    const timer = clock.setTimer(
      () => controller.abort(timeout(settings.writeTimeoutMs)),
      settings.writeTimeoutMs,
    )
    const batch: Batch = {
      lane: lane.spec.name,
      changes: slots,
      dead: burials.map(({ letter }) => letter),
      cursor,
      load: this.#load,
    }
    this.#apply(batch, controller.signal).then(
      (applied) => {
        timer.cancel()
        if (this.#ended(flight)) this.#stored(flight, applied, now)
      },
      (error: unknown) => {
        timer.cancel()
        if (this.#ended(flight)) this.#failed(flight, toError(error))
      },
    )
    return true
  }

  /** A sink that does not heed its signal is not waited for. */
  #apply(batch: Batch, signal: AbortSignal): Promise<Applied> {
    try {
      return waitOrAbort(this.#options.apply(batch, signal), signal)
    } catch (error) {
      return Promise.reject(toError(error))
    }
  }

  /** Takes the flight off; false when its session is over and it counts no more. */
  #ended(flight: Flight): boolean {
    if (flight.session !== this.#session) return false
    this.#flights.delete(flight)
    flight.lane.inFlight -= 1
    flight.shard.batch = 0
    return true
  }

  #stored(flight: Flight, applied: Applied, startedMs: number): void {
    const { lane, shard, slots, burials, cursor } = flight
    const { breaker, observer, clock } = this.#options
    const now = clock.monotonic()
    breaker.succeeded(flight.generation, now)
    this.#failures = 0
    lane.counters.applied += applied.applied
    lane.counters.skippedInStore += applied.skippedAsOlder
    observer.stored(lane.spec.name, slots, now - startedMs, now)
    // Most batches have neither, and then no set is made.
    const waiting = applied.waiting.length === 0 ? undefined : new Set<unknown>(applied.waiting)
    const dead = applied.dead.length === 0 ? undefined : new Map<unknown, (typeof applied.dead)[number]>()
    for (const each of applied.dead) dead?.set(each.change, each)
    for (const slot of slots) {
      if (waiting !== undefined && waiting.has(slot)) continue
      const death = dead?.get(slot)
      if (death === undefined) lane.complete(slot)
      else {
        lane.died(slot)
        observer.dead(lane.spec.name, letterOf(lane, slot, death.reason, death.detail, clock.now()))
      }
    }
    for (const burial of burials) {
      lane.buried(burial)
      observer.dead(lane.spec.name, burial.letter)
    }
    // A load that ended meanwhile takes them along at once; else they wait for their rows.
    if (waiting !== undefined)
      lane.restore(shard, applied.waiting as readonly Slot[], this.#load !== undefined)
    // Batches of one lane may end in another order than they began. What waits for its row holds the cursor back.
    if (
      cursor !== undefined &&
      waiting === undefined &&
      (lane.storedCursor === undefined || isAfter(cursor, lane.storedCursor))
    )
      lane.storedCursor = cursor
    this.#roomAgain()
    this.#wake()
    this.#pumpSoon()
  }

  #failed(flight: Flight, error: Error): void {
    const { lane, shard, slots, burials } = flight
    const { breaker, observer, clock, settings, random } = this.#options
    const now = clock.monotonic()
    lane.counters.failedBatches += 1
    for (const burial of burials) burial.slot.batch = 0
    lane.burials.unshift(...burials)
    lane.restore(shard, slots, false)
    if (hasCode(error, 'SLUICE_LEASE_LOST')) {
      breaker.ignored(flight.generation)
      this.#open = false
      observer.lost(error)
      this.#wake()
      return
    }
    breaker.failed(flight.generation, error, now)
    this.#failures += 1
    this.#notBefore = now + backoffMs(this.#failures, random(), settings.backoff)
    observer.failed(lane.spec.name, error)
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

function firstOf(map: ReadonlyMap<string, Slot>): Slot {
  for (const slot of map.values()) return slot
  throw new SluiceError('SLUICE_INTERNAL', 'a shard without changes was asked for its first')
}

function sameId(a: StreamId | undefined, b: StreamId | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.ms === b.ms && a.seq === b.seq)
}

function timeout(ms: number): SluiceError {
  return new SluiceError('SLUICE_TIMEOUT', `a write to the sink took longer than ${ms} ms`, {
    retryable: true,
  })
}

function letterOf(
  lane: Lane,
  slot: Slot,
  reason: DeadLetter['reason'],
  detail: string,
  timeMs: number,
): DeadLetter {
  return {
    lane: lane.spec.name,
    id: slot.id,
    streamId: `${slot.at.ms}-${slot.at.seq}`,
    reason,
    detail,
    text: '',
    timeMs,
  }
}
