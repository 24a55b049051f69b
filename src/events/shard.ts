/**
 * One shard of a subscription at work: pages of the log, their events to the handler, the cursor behind them.
 *
 *     read a page ──▶ deliver ──▶ done in memory ──▶ cursor ──▶ the next page
 *                        └─ failed ─▶ a few retries in memory ─▶ a task of the subscription, and done here
 *
 * The cursor is written behind what is done, beside the work and not between: at most `MAX_UNSAVED` events are done and
 * not written down, which is what comes again after a crash. It is fenced by owner and epoch: when it does not move, the
 * shard is another's, and the work ends.
 */
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { backoffMs } from '../core/backoff.ts'
import type { ShardLease } from '../engine/leases.ts'
import { moveCursors, readCursor, type CursorOwner } from '../engine/log/cursor.ts'
import type { LogInterest } from '../engine/log/reader.ts'
import { spillEvents, type Spilled } from '../engine/log/spill.ts'
import type { EventRow, Page, Position } from '../engine/log/window.ts'
import { moment } from '../engine/moments.ts'
import { keyShard } from '../engine/tasks/keyed.ts'
import type { StoredEvent } from './decode.ts'
import type { Outcome } from './attempt.ts'
import { Progress } from './progress.ts'
import type { SubscriberParts } from './parts.ts'

/** Attempts in memory, before an event becomes a task. */
const QUICK_ATTEMPTS = 3
const QUICK_BACKOFF = { baseMs: 50, capMs: 500 }
/** Between two writes of a cursor that only passed events of others. */
const IDLE_SAVE_MS = 1_000
/** After a failure of the database. */
const RETRY_BACKOFF = { baseMs: 100, capMs: 5_000 }

export class Shard {
  readonly #parts: SubscriberParts
  readonly #lease: ShardLease
  readonly #interest: LogInterest
  readonly #cursor: CursorOwner
  #position: Position = { tick: '0', till: null, pos: '0' }
  #saved: Position = this.#position
  #savedAt = 0
  #saving: Promise<void> | undefined
  /** When something was done last, in monotonic milliseconds; for the watch over shards that stand still. */
  movedAt: number
  /** Has a page, and is not done with it. */
  busy = false
  #unsaved = 0
  #failure: Error | undefined

  constructor(parts: SubscriberParts, lease: ShardLease, interest: LogInterest) {
    this.#parts = parts
    this.#lease = lease
    this.#interest = interest
    this.#cursor = { ref: parts.row.id, shard: lease.shard, owner: lease.owner, epoch: lease.epoch }
    this.movedAt = parts.engine.clock.monotonic()
  }

  /** Until the lease drains or is lost. Rejects only for a defect: what the database refuses is tried again. */
  async run(): Promise<void> {
    const { draining } = this.#lease
    let failures = 0
    let isPlaced = false
    while (!draining.aborted) {
      try {
        if (!isPlaced) {
          await this.#place()
          isPlaced = true
        }
        const page = await this.#interest.next(this.#position, draining)
        this.busy = true
        await this.#work(page)
        failures = 0
      } catch (error) {
        if (draining.aborted) break
        if (hasCode(error, 'SLUICE_LEASE_LOST')) {
          this.#parts.engine.log.warn({ err: error, subscription: this.#parts.spec.name }, 'a shard was lost')
          return
        }
        isPlaced = false
        await this.#restAfter(error, ++failures)
      } finally {
        this.busy = false
      }
    }
    await this.#saveLast()
  }

  async #place(): Promise<void> {
    const { engine, row } = this.#parts
    await this.#saving
    this.#failure = undefined
    this.#unsaved = 0
    const found = await readCursor(engine.db, row.id, this.#lease.shard)
    if (found === undefined) throw new SluiceError('SLUICE_INTERNAL', 'the cursor of the shard is missing')
    this.#position = this.#saved = found
  }

  async #restAfter(error: unknown, failures: number): Promise<void> {
    const { engine, spec } = this.#parts
    const ms = 10 + backoffMs(failures, engine.random(), RETRY_BACKOFF)
    engine.log.warn(
      { err: toError(error), subscription: spec.name, shard: this.#lease.shard },
      'a subscription could not go on, and tries again',
    )
    await engine.clock.sleep(ms, { signal: this.#lease.draining }).catch(() => {})
  }

  async #work(page: Page): Promise<void> {
    const events = this.#eventsOf(page)
    if (events.length > 0) {
      const { spec } = this.#parts
      if (spec.transaction) await this.#inTransactions(events, page)
      else if (spec.handler.kind === 'batch') await this.#inBatches(events, page, spec.handler.size)
      else await this.#concurrently(events, page)
      if (this.#lease.draining.aborted && this.#position !== page.to) return
    }
    this.#position = page.to
    this.#moved(0)
    const { clock } = this.#parts.engine
    if (events.length > 0 || clock.monotonic() - this.#savedAt > IDLE_SAVE_MS) this.#save()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Events of this page that are the shard's. */
  #eventsOf(page: Page): StoredEvent[] {
    const { spec, decoded } = this.#parts
    const { topics } = this.#interest
    const { shards } = spec
    return decoded(page).filter(
      ({ row }) => topics.has(row.topic) && (shards === 1 || shardOf(row, shards) === this.#lease.shard),
    )
  }

  async #concurrently(events: readonly StoredEvent[], page: Page): Promise<void> {
    const { spec } = this.#parts
    const progress = new Progress(events.length)
    const { draining, signal } = this.#lease
    let next = 0
    let failure: Error | undefined
    const lane = async (): Promise<void> => {
      while (next < events.length && failure === undefined && !draining.aborted) {
        const index = next++
        const event = events[index]
        if (event === undefined) return
        try {
          await this.#deliver([event])
          progress.done(index)
          this.#moved(1)
          this.#placeAt(events, progress.low, page)
          const unsaved = this.#saveSometimes()
          if (unsaved !== undefined) await unsaved
        } catch (error) {
          failure ??= toError(error)
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(spec.concurrency, events.length) }, lane))
    if (failure !== undefined) throw failure
    signal.throwIfAborted()
  }

  async #inBatches(events: readonly StoredEvent[], page: Page, size: number): Promise<void> {
    for (let from = 0; from < events.length && !this.#lease.draining.aborted; from += size) {
      const batch = events.slice(from, from + size)
      await this.#deliver(batch)
      this.#moved(batch.length)
      this.#placeAt(events, from + batch.length, page)
      this.#save()
    }
  }

  /** Attempts in memory; what still fails becomes tasks. Resolves when all of them are done here. */
  async #deliver(events: readonly StoredEvent[]): Promise<void> {
    const { attempts, spec, engine } = this.#parts
    let open = events
    for (let attempt = 1; ; attempt++) {
      const outcome = await attempts.run(open, { attempt, signal: this.#lease.signal })
      this.#lease.signal.throwIfAborted()
      const failed = failuresOf(open, outcome)
      moment('events.handled', open.length - failed.length)
      if (failed.length === 0) return
      open = failed.map(({ event }) => event)
      if (
        attempt >= Math.min(QUICK_ATTEMPTS, spec.attempts) ||
        failed.every(({ error }) => isHopeless(error))
      ) {
        await this.#spill(failed, attempt)
        return
      }
      const ms = backoffMs(attempt, engine.random(), QUICK_BACKOFF)
      await engine.clock.sleep(ms, { signal: this.#lease.signal })
    }
  }

  async #spill(failed: readonly Failure[], attempt: number): Promise<void> {
    const { spec, engine, row } = this.#parts
    const spilled = failed.map(({ event, error }): Spilled => ({
      row: event.row,
      topic: event.topic,
      attempt,
      maxAttempt: spec.attempts,
      delayMs: backoffMs(attempt, engine.random(), spec.backoff),
      error: error.message,
      ordered: false,
    }))
    const held = await spillEvents(engine.db, row.queue, this.#cursor, spilled)
    if (!held) throw this.#lost()
    moment('events.parked', spilled.length)
    engine.wake.signal(`q${row.queue}`)
  }

  /** One transaction an event, or a batch: what the handler does in it and the cursor commit together. */
  async #inTransactions(events: readonly StoredEvent[], page: Page): Promise<void> {
    const { spec, engine, attempts } = this.#parts
    const size = spec.handler.kind === 'batch' ? spec.handler.size : 1
    // The cursor stands where the transactions put it; one that is on its way would set it back.
    await this.#saving
    for (let from = 0; from < events.length && !this.#lease.draining.aborted; from += size) {
      const batch = events.slice(from, from + size)
      const behind = this.#behind(events, from + batch.length, page)
      for (let attempt = 1; ; attempt++) {
        let outcome: Outcome = []
        try {
          await engine.db.transaction(
            async (tx) => {
              outcome = await attempts.run(batch, { attempt, signal: this.#lease.signal, tx })
              if (outcome.some((error) => error !== undefined)) throw new HandlerFailed()
              const [moved] = await moveCursors(tx, [{ ...this.#cursor, ...behind }])
              if (moved !== true) throw this.#lost()
            },
            { label: 'sluice.deliver', signal: this.#lease.signal },
          )
          break
        } catch (error) {
          if (!(error instanceof HandlerFailed)) throw error
        }
        const failed = failuresOf(batch, outcome)
        if (
          attempt >= Math.min(QUICK_ATTEMPTS, spec.attempts) ||
          failed.every(({ error }) => isHopeless(error))
        ) {
          await this.#spill(
            batch.map((event, index) => ({
              event,
              error: outcome[index] ?? new Error('another event of its batch failed'),
            })),
            attempt,
          )
          break
        }
        await engine.clock.sleep(backoffMs(attempt, engine.random(), QUICK_BACKOFF), {
          signal: this.#lease.signal,
        })
      }
      this.#position = this.#saved = behind
      this.#moved(batch.length)
    }
  }

  #placeAt(events: readonly StoredEvent[], low: number, page: Page): void {
    this.#position = this.#behind(events, low, page)
  }

  /** The position behind the first `low` events of a page. */
  #behind(events: readonly StoredEvent[], low: number, page: Page): Position {
    const last = events[low - 1]
    if (last === undefined) return page.from
    return { tick: page.from.tick, till: page.till, pos: last.row.id }
  }

  #moved(count: number): void {
    this.movedAt = this.#parts.engine.clock.monotonic()
    if (count > 0) this.#parts.delivered.add(count)
    this.#unsaved += count
  }

  #saveSometimes(): Promise<void> | undefined {
    if (this.#unsaved < SAVE_EVERY) return undefined
    this.#save()
    return this.#unsaved < MAX_UNSAVED ? undefined : this.#saving
  }

  /** Writes the position beside the work; one write at a time. */
  #save(): void {
    if (this.#saving !== undefined || this.#position === this.#saved) return
    const position = this.#position
    this.#unsaved = 0
    this.#saving = this.#parts
      .moveCursor({ ...this.#cursor, ...position })
      .then((moved) => {
        if (!moved) throw this.#lost()
        this.#saved = position
        this.#savedAt = this.#parts.engine.clock.monotonic()
        moment('events.moved', 1)
      })
      .catch((error: unknown) => {
        this.#failure = toError(error)
      })
      .finally(() => {
        this.#saving = undefined
        if (this.#position !== this.#saved && this.#failure === undefined && this.#unsaved >= SAVE_EVERY)
          this.#save()
      })
  }

  async #saveLast(): Promise<void> {
    await this.#saving
    this.#save()
    await this.#saving
  }

  #lost(): SluiceError {
    return new SluiceError(
      'SLUICE_LEASE_LOST',
      `subscription "${this.#parts.spec.name}": shard ${this.#lease.shard} belongs to another process`,
    )
  }
}

/** Events done before the cursor is written. */
const SAVE_EVERY = 100
/** Events done and not written down, at most. */
const MAX_UNSAVED = 5_000

class HandlerFailed extends Error {}

interface Failure {
  readonly event: StoredEvent
  readonly error: Error
}

function failuresOf(events: readonly StoredEvent[], outcome: Outcome): Failure[] {
  return events.flatMap((event, index) => {
    const error = outcome[index]
    return error === undefined ? [] : [{ event, error }]
  })
}

/** Data that does not fit will not fit the next time either. */
function isHopeless(error: Error): boolean {
  return hasCode(error, 'SLUICE_INVALID_DATA')
}

/** By key, so that a key is one shard's; without one by id. */
function shardOf(row: EventRow, shards: number): number {
  return row.key === null ? Number(BigInt(row.id) % BigInt(shards)) : keyShard(row.key) % shards
}
