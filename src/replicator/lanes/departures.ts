/**
 * When a batch leaves. In a lane without a write under way, what came in the same turn of the event loop is sent at once
 * (`idle`). While one is under way, a shard gathers until it has `batchSize` changes (`size`) or its oldest has
 * waited for `batchTimeout` (`time`); it then takes up to `maxBatchChanges`. So a quiet stream is stored without
 * delay, and batches grow as the sink gets slower.
 *
 * There is one timer for everything that is due later, and one look a turn at what can be sent.
 */
import { backoffMs } from '../../core/backoff.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import type { Trigger } from '../counters.ts'
import { sameStreamId, type StreamId } from '../stream-id.ts'
import type { Flights } from './flights.ts'
import type { Lane } from './lane.ts'
import type { LanesSettings } from './settings.ts'
import type { Shard } from './shard.ts'

export interface DeparturesOptions {
  readonly lanes: readonly Lane[]
  readonly flights: Flights
  readonly settings: LanesSettings
  readonly clock: Clock
  readonly random: () => number
  /** Everything up to here is stored. */
  readonly cursor: () => StreamId | undefined
  /** May anything be sent at all? */
  readonly isOpen: () => boolean
}

export class Departures {
  readonly #options: DeparturesOptions
  /** Nothing waits for its batch to grow. */
  isDraining = false
  #looksThisTurn = false
  /** Monotonic time of this turn of the event loop; read once for all messages of a turn. */
  #turnMs: number | undefined
  #notBefore = 0
  #failures = 0
  #timer: Timer | undefined
  #timerAt = Infinity
  #nextLane = 0
  readonly #look = (): void => {
    this.#looksThisTurn = false
    this.#turnMs = undefined
    this.#send()
  }

  constructor(options: DeparturesOptions) {
    this.#options = options
  }

  /** Monotonic milliseconds of this turn, and a look at what can be sent once it is over. */
  turn(): number {
    this.soon()
    this.#turnMs ??= this.#options.clock.monotonic()
    return this.#turnMs
  }

  soon(): void {
    if (this.#looksThisTurn) return
    this.#looksThisTurn = true
    setImmediate(this.#look)
  }

  /** What waits for a time after a failure does not any more. */
  now(): void {
    this.#notBefore = 0
    this.soon()
  }

  /** A batch failed: the next one waits, longer with each. */
  failed(): void {
    const { clock, random, settings } = this.#options
    this.#failures += 1
    this.#notBefore = clock.monotonic() + backoffMs(this.#failures, random(), settings.backoff)
  }

  succeeded(): void {
    this.#failures = 0
  }

  reset(): void {
    this.#failures = 0
    this.#notBefore = 0
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAt = Infinity
  }

  #send(): void {
    const { lanes, flights, settings, clock, isOpen } = this.#options
    if (!isOpen()) return
    const now = clock.monotonic()
    if (now < this.#notBefore) {
      this.#arm(this.#notBefore, now)
      return
    }
    const count = lanes.length
    // Round robin over lanes and their shards, so that none starves when the writes under way are at their limit.
    const first = this.#nextLane++ % count
    for (let step = 0; step < count; step++) {
      const lane = lanes[(first + step) % count]!
      const { shards } = lane
      const from = lane.nextShard
      const isIdle = lane.inFlight === 0
      for (let offset = 0; offset < shards.length; offset++) {
        if (flights.size >= settings.maxInFlight) return
        const index = (from + offset) % shards.length
        const shard = shards[index]!
        if (shard.batch !== 0) continue
        const trigger = this.#trigger(lane, shard, isIdle, now)
        if (trigger === undefined) continue
        const againMs = flights.launch(lane, shard, trigger, now)
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
    const hasLetters = shard === lane.shards[0] && lane.burials.size > 0
    if (size > 0 || hasLetters) {
      if (this.isDraining) return 'drain'
      if (isIdle) return 'idle'
      const oldest = shard.waiting.first?.receivedMs ?? now
      if (now - oldest >= batchTimeoutMs) return 'time'
      this.#arm(oldest + batchTimeoutMs, now)
      return undefined
    }
    if (shard !== lane.shards[0] || lane.inFlight > 0) return undefined
    const cursor = this.#options.cursor()
    if (cursor === undefined || sameStreamId(cursor, lane.storedCursor)) return undefined
    if (this.isDraining) return 'drain'
    if (now >= lane.touchDueMs) return 'time'
    this.#arm(Math.min(lane.touchDueMs, now + touchMs), now)
    return undefined
  }

  /** The earliest counts. */
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
