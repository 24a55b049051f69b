/**
 * One shard of a subscription at work: pages of the log, their events to the handler, the cursor behind them.
 *
 *     read a page ──▶ deliver ──▶ done in memory ──▶ cursor ──▶ the next page
 *                        └─ failed ─▶ a few retries in memory ─▶ a task of the subscription, and done here
 *
 * The cursor is fenced by owner and epoch: when it does not move, the shard is another's, and the work ends. A life of
 * the shard ends at a failure of the database, or when it stands still; the next one begins at the cursor.
 */
import { backoffMs } from '../core/backoff.ts'
import { deriveController, waitOrAbort } from '../core/abort.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import type { ShardLease } from '../engine/leases.ts'
import type { LogInterest } from '../engine/log/reader.ts'
import { shardOf } from '../engine/log/shard-of.ts'
import { newestTick } from '../engine/log/subscriptions.ts'
import type { Page, Position } from '../engine/log/window.ts'
import { Cursor, MAX_UNSAVED, ReadsMore } from './cursor.ts'
import type { StoredEvent } from './decode.ts'
import { Delivery } from './delivery.ts'
import { ParkedKeys } from './parked.ts'
import type { SubscriberParts } from './parts.ts'
import { Progress } from './progress.ts'

/** After a failure of the database. */
const BACKOFF = { baseMs: 100, capMs: 5_000 }

/** From where the work begins until it fails. */
interface Life {
  readonly delivery: Delivery
  readonly parked: ParkedKeys | undefined
  /** Aborts with the lease, and when this life is to end. */
  readonly controller: AbortController
}

export class Shard {
  readonly #parts: SubscriberParts
  readonly #lease: ShardLease
  readonly #interest: LogInterest
  readonly #cursor: Cursor
  #movedAt: number
  #busy = false
  #life: Life | undefined
  /** Events that may have been under way when the owner before died, and the tick that it cannot have read beyond. */
  #suspects = 0
  #suspectTick: bigint | undefined

  constructor(parts: SubscriberParts, lease: ShardLease, interest: LogInterest) {
    const { row, engine, spec } = parts
    this.#parts = parts
    this.#lease = lease
    this.#interest = interest
    this.#cursor = new Cursor(parts, {
      ref: row.id,
      shard: lease.shard,
      owner: lease.owner,
      epoch: lease.epoch,
    })
    this.#movedAt = engine.clock.monotonic()
    const isSingle = spec.handler.kind === 'single'
    const size = spec.handler.kind === 'single' ? spec.concurrency : spec.handler.size
    if (lease.orphaned && spec.onFail !== 'stop' && spec.onFail !== 'hold') {
      this.#suspects = spec.transaction ? (isSingle ? 1 : size) : MAX_UNSAVED + size
    }
  }

  /** Milliseconds since it had something to do and did it last; 0 while there is nothing to do. */
  get stillMs(): number {
    return this.#busy ? this.#parts.engine.clock.monotonic() - this.#movedAt : 0
  }

  /** Ends what it does and begins again at the cursor. */
  restart(reason: Error): void {
    this.#life?.controller.abort(reason)
  }

  /** Until the lease drains or is lost. Never rejects for what the database refuses: that is tried again. */
  async run(): Promise<void> {
    try {
      await this.#liveAgainAndAgain()
    } finally {
      this.#cursor.close()
    }
  }

  async #liveAgainAndAgain(): Promise<void> {
    const { draining } = this.#lease
    const { engine, log, spec } = this.#parts
    for (let failures = 1; !draining.aborted; failures++) {
      const since = engine.clock.monotonic()
      try {
        await this.#live()
      } catch (error) {
        if (draining.aborted) break
        if (error instanceof ReadsMore) {
          this.#parts.standBy(error.patterns)
          return
        }
        const facts = { err: toError(error), subscription: spec.name, shard: this.#lease.shard }
        if (hasCode(error, 'SLUICE_LEASE_LOST')) {
          log.warn(facts, 'lease lost: a shard of a subscription belongs to another process')
          return
        }
        log.warn(facts, 'a subscription could not go on, and begins again at its cursor')
        if (engine.clock.monotonic() - since > 2 * BACKOFF.capMs) failures = 1
        const ms = 10 + backoffMs(failures, engine.random(), BACKOFF)
        await engine.clock.sleep(ms, { signal: draining }).catch(() => {})
      }
    }
    if (!this.#lease.signal.aborted) await this.#cursor.flush()
  }

  async #live(): Promise<void> {
    const { draining, signal } = this.#lease
    const { controller, release } = deriveController(signal)
    const drained = deriveController(draining, controller.signal)
    const parked = this.#parts.spec.ordered ? new ParkedKeys(this.#parts, this.#cursor.owner) : undefined
    const delivery = new Delivery(this.#parts, this.#cursor, parked, {
      signal: controller.signal,
      draining: drained.controller.signal,
      onTry: () => this.#moved(),
    })
    const life: Life = { delivery, parked, controller }
    this.#life = life
    let parkedRun: Promise<void> = Promise.resolve()
    try {
      this.#busy = true
      this.#moved()
      await waitOrAbort(this.#load(parked), controller.signal)
      this.#busy = false
      if (parked !== undefined) {
        parkedRun = parked.run(drained.controller.signal, controller.signal).catch((error: unknown) => {
          if (!drained.controller.signal.aborted) controller.abort(toError(error))
        })
      }
      while (!draining.aborted) {
        await this.#parts.gate.wait(drained.controller.signal)
        const page = await this.#interest.next(this.#cursor.position, drained.controller.signal)
        this.#readAhead(page, drained.controller.signal)
        await this.#work(page, life)
      }
    } catch (error) {
      controller.abort(error)
      throw error
    } finally {
      this.#busy = false
      this.#life = undefined
      if (draining.aborted) await parkedRun
      else controller.abort(new SluiceError('SLUICE_CANCELLED', 'the shard begins again'))
      await parkedRun
      drained.release()
      release()
    }
  }

  /** A relay waits for its broker: meanwhile the database can answer. The reader keeps the page until it is asked for. */
  #readAhead(page: Page, signal: AbortSignal): void {
    if (this.#parts.spec.handler.kind !== 'relay' || page.rows.length === 0) return
    this.#interest.next(page.to, signal).catch(() => {})
  }

  /** Where it stands, and what waits there. */
  async #load(parked: ParkedKeys | undefined): Promise<void> {
    await this.#cursor.load()
    if (this.#suspects > 0) this.#suspectTick ??= BigInt(await newestTick(this.#parts.engine.db))
    await parked?.load()
  }

  async #work(page: Page, life: Life): Promise<void> {
    this.#busy = true
    this.#moved()
    try {
      const events = this.#eventsOf(page)
      if (!(await this.#toItsEnd(events, page, life))) return
      this.#cursor.move(page.to, 0)
      if (events.length > 0) this.#cursor.save()
    } finally {
      this.#busy = false
    }
  }

  /** False where it stopped on the way. */
  async #toItsEnd(events: readonly StoredEvent[], page: Page, life: Life): Promise<boolean> {
    let rest = events
    if (this.#suspectTick !== undefined && BigInt(page.from.tick) >= this.#suspectTick) this.#suspects = 0
    if (this.#suspects > 0 && events.length > 0) {
      const suspects = events.slice(0, this.#suspects)
      await life.delivery.spillSuspects(suspects, behind(events, suspects.length, page))
      this.#suspects -= suspects.length
      rest = events.slice(suspects.length)
    }
    if (rest.length === 0) return true
    const { spec } = this.#parts
    if (spec.transaction) return this.#inTransactions(rest, page, life)
    if (spec.handler.kind !== 'single') return this.#inBatches(rest, page, life, spec.handler.size)
    return this.#concurrently(rest, page, life)
  }

  #eventsOf(page: Page): readonly StoredEvent[] {
    const { spec, decoded } = this.#parts
    const { topics } = this.#interest
    const { shards } = spec
    return decoded(page).filter(
      ({ row }) => topics.has(row.topic) && (shards === 1 || shardOf(row, shards) === this.#lease.shard),
    )
  }

  /** Several at once; with an order by key, those of one key one after the other. */
  async #concurrently(events: readonly StoredEvent[], page: Page, life: Life): Promise<boolean> {
    const { spec } = this.#parts
    const { delivery, controller } = life
    const progress = new Progress(events.length)
    const groups = spec.ordered ? byKey(events) : undefined
    const count = groups?.length ?? events.length
    let next = 0
    let failure: Error | undefined
    const deliverOne = async (index: number): Promise<void> => {
      await delivery.deliver(events.slice(index, index + 1))
      const before = progress.low
      progress.done(index)
      this.#delivered(1)
      if (progress.low > before) this.#cursor.move(behind(events, progress.low, page), progress.low - before)
      const room = this.#cursor.room()
      if (room !== undefined) await room
    }
    const lane = async (): Promise<void> => {
      while (next < count && failure === undefined && !this.#isHeldUp()) {
        const group = groups?.[next] ?? next
        next++
        try {
          if (typeof group === 'number') await deliverOne(group)
          else
            for (const index of group) {
              if (this.#isHeldUp()) return
              await deliverOne(index)
            }
        } catch (error) {
          failure ??= toError(error)
        }
      }
    }
    await Promise.all(Array.from({ length: Math.min(spec.concurrency, count) }, lane))
    if (failure !== undefined) throw failure
    controller.signal.throwIfAborted()
    return progress.low === events.length
  }

  async #inBatches(events: readonly StoredEvent[], page: Page, life: Life, size: number): Promise<boolean> {
    for (let from = 0; from < events.length; from += size) {
      if (this.#isHeldUp()) return false
      const batch = events.slice(from, from + size)
      await life.delivery.deliver(batch)
      this.#delivered(batch.length)
      this.#cursor.move(behind(events, from + batch.length, page), batch.length)
      const room = this.#cursor.room()
      if (room !== undefined) await room
    }
    return true
  }

  /** One transaction an event, or a batch: what the handler does in it and the cursor commit together. */
  async #inTransactions(events: readonly StoredEvent[], page: Page, life: Life): Promise<boolean> {
    const { handler } = this.#parts.spec
    const size = handler.kind === 'single' ? 1 : handler.size
    for (let from = 0; from < events.length; from += size) {
      if (this.#isHeldUp()) return false
      const batch = events.slice(from, from + size)
      const position = behind(events, from + batch.length, page)
      // A write that is on its way would set the cursor back behind the transaction's.
      await this.#cursor.settle()
      await life.delivery.deliverInTransaction(batch, position)
      this.#delivered(batch.length)
      if (this.#cursor.position !== position) this.#cursor.move(position, batch.length)
    }
    return true
  }

  #isHeldUp(): boolean {
    return this.#lease.draining.aborted || this.#parts.gate.isClosed
  }

  #moved(): void {
    this.#movedAt = this.#parts.engine.clock.monotonic()
  }

  #delivered(count: number): void {
    this.#moved()
    this.#parts.delivered.add(count)
  }
}

/** The position behind the first `count` events of a page. */
function behind(events: readonly StoredEvent[], count: number, page: Page): Position {
  const last = events[count - 1]
  if (last === undefined) return page.from
  return { tick: page.from.tick, till: page.till, pos: last.row.id }
}

/** Places of the events of each key, in order; of one without a key its own. */
function byKey(events: readonly StoredEvent[]): readonly (number | readonly number[])[] {
  const groups: (number | number[])[] = []
  const known = new Map<string, number[]>()
  for (const [index, { row }] of events.entries()) {
    const group = row.key === null ? undefined : known.get(row.key)
    if (group !== undefined) group.push(index)
    else if (row.key === null) groups.push(index)
    else {
      const made = [index]
      known.set(row.key, made)
      groups.push(made)
    }
  }
  return groups
}
