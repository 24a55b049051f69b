/**
 * Batches on their way to the sink: each with a number, a signal with a limit, and the breaker's permission. What comes
 * of it is put down here: its changes are stored, dead, set aside, or wait again.
 */
import { waitOrAbort } from '../../core/abort.ts'
import type { Clock } from '../../core/clock.ts'
import { hasCode, SluiceError, toError } from '../../core/errors.ts'
import { REFUSED, type Breaker, type Generation } from '../../policy/breaker.ts'
import type { Applied, Batch, DeadLetter } from '../contract.ts'
import type { Trigger } from '../counters.ts'
import { isAfter, type StreamId } from '../stream-id.ts'
import { letterOf, type Burial } from './burials.ts'
import type { Lane } from './lane.ts'
import type { LanesObserver } from './observer.ts'
import type { Positions } from './positions.ts'
import { MAX_LETTERS, type LanesSettings } from './settings.ts'
import type { Shard } from './shard.ts'
import type { Slot } from './slot.ts'

export interface FlightsOptions {
  readonly settings: LanesSettings
  readonly clock: Clock
  readonly positions: Positions
  readonly breaker: Breaker
  readonly apply: (batch: Batch, signal: AbortSignal) => Promise<Applied>
  readonly observer: LanesObserver
  /** A batch of the session has ended, and everything of it is put down; with the error where it failed. */
  readonly ended: (error: Error | undefined) => void
}

interface Flight {
  readonly number: number
  readonly lane: Lane
  readonly shard: Shard
  readonly slots: readonly Slot[]
  /** Monotonic time at which the oldest message in it was received. */
  readonly oldestMs: number
  readonly burials: readonly Burial[]
  readonly cursor: StreamId | undefined
  readonly generation: Generation
  readonly session: number
  readonly controller: AbortController
}

export class Flights {
  readonly #options: FlightsOptions
  readonly #flights = new Set<Flight>()
  /** Counts those that were abandoned: what belongs to an earlier session changes nothing any more. */
  #session = 0
  #batches = 0
  /** The load that is under way. */
  load: string | undefined

  constructor(options: FlightsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#flights.size
  }

  /** Monotonic time at which the oldest message in them was received; Infinity where there is none. */
  get oldestMs(): number {
    let oldest = Infinity
    for (const { oldestMs } of this.#flights) if (oldestMs < oldest) oldest = oldestMs
    return oldest
  }

  /** Dead letters of a lane that are on their way. */
  lettersOf(lane: Lane): readonly DeadLetter[] {
    return [...this.#flights].flatMap((flight) =>
      flight.lane === lane ? flight.burials.map(({ letter }) => letter) : [],
    )
  }

  /** The session is over: what is on its way is let go, and its signals abort. */
  abandon(reason: Error): void {
    this.#session += 1
    for (const flight of this.#flights) {
      for (const slot of flight.slots) flight.lane.counters.returned += slot.messages
      for (const burial of flight.burials) flight.lane.counters.returned += burial.messages
      flight.controller.abort(reason)
    }
    this.#flights.clear()
    this.load = undefined
  }

  /** @returns when to try again where the breaker refuses, in monotonic milliseconds; undefined where the batch left */
  launch(lane: Lane, shard: Shard, trigger: Trigger, now: number): number | undefined {
    const { breaker, settings, clock, positions } = this.#options
    const generation = breaker.enter(now)
    if (generation === REFUSED) {
      const state = breaker.state
      if (state.kind === 'open') return state.until
      // While a probe is under way, its end looks again.
      return state.kind === 'half-open' ? state.leaseUntil : Infinity
    }
    const number = ++this.#batches
    const slots = shard.takeBatch(number, settings.maxBatchChanges, settings.maxBatchBytes)
    const burials = shard === lane.shards[0] ? lane.burials.take(MAX_LETTERS, number) : []
    const cursor = positions.cursor(number)
    lane.inFlight += 1
    lane.counters.batches[trigger] += 1
    lane.touchDueMs = now + settings.touchMs
    const session = this.#session
    const controller = new AbortController()
    // What waits is in the order of its receipt, or nearly: what was given back is older.
    const oldestMs = slots.reduce((oldest, { receivedMs }) => Math.min(oldest, receivedMs), now)
    const flight = { number, lane, shard, slots, oldestMs, burials, cursor, generation, session, controller }
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
      load: this.load,
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
    return undefined
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
        observer.dead(
          lane.spec.name,
          letterOf(lane.spec.name, slot.id, slot.at, death.reason, death.detail, '', clock.now()),
        )
      }
    }
    for (const burial of burials) {
      lane.buried(burial)
      observer.dead(lane.spec.name, burial.letter)
    }
    // A load that ended meanwhile takes them along at once; else they wait for their rows.
    if (waiting !== undefined)
      lane.restore(shard, applied.waiting as readonly Slot[], this.load !== undefined)
    // Batches of one lane may end in another order than they began. What waits for its row holds the cursor back.
    if (
      cursor !== undefined &&
      waiting === undefined &&
      (lane.storedCursor === undefined || isAfter(cursor, lane.storedCursor))
    )
      lane.storedCursor = cursor
    this.#options.ended(undefined)
  }

  #failed(flight: Flight, error: Error): void {
    const { lane, shard, slots, burials } = flight
    const { breaker, observer, clock, ended } = this.#options
    const now = clock.monotonic()
    lane.counters.failedBatches += 1
    lane.burials.putBack(burials)
    lane.restore(shard, slots, false)
    if (hasCode(error, 'SLUICE_LEASE_LOST')) {
      breaker.ignored(flight.generation)
    } else {
      breaker.failed(flight.generation, error, now)
      observer.failed(lane.spec.name, error)
    }
    ended(error)
  }
}

function timeout(ms: number): SluiceError {
  return new SluiceError('SLUICE_TIMEOUT', `a write to the sink took longer than ${ms} ms`, {
    retryable: true,
  })
}
