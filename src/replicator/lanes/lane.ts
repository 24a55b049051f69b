/**
 * One type of entity: its shards, each with the changes that wait in the order in which their keys first came.
 *
 * A key belongs to one shard, and a shard has one batch under way at most, so the order of a key is kept without looking
 * at any other key. What comes for a key while its change waits is put together with it; while its change is under way,
 * a new one begins. Partials without a base are set aside (`parked`) while a load is under way.
 *
 * Every message ends in exactly one way: processed (its effect is stored), skipped as older, or dead.
 */
import type { DeadReason, EntityData, LaneSpec } from '../contract.ts'
import { laneCounters } from '../counters.ts'
import { STREAM_START, type StreamId } from '../stream-id.ts'
import { Burials, letterOf, type Burial } from './burials.ts'
import { Holdings } from './holdings.ts'
import type { Positions } from './positions.ts'
import { Returns } from './returns.ts'
import { Shard } from './shard.ts'
import { Slot, SLOT_OVERHEAD, type Kind, type Put } from './slot.ts'
import { hashOf, hashOfBytes } from './waiting.ts'
import { Watermark } from './watermark.ts'

export interface LaneLimits {
  readonly shards: number
  /** Changes that are held, those under way included. */
  readonly maxChanges: number
  readonly maxBytes: number
}

export interface LaneOptions {
  readonly spec: LaneSpec
  readonly limits: LaneLimits
  readonly positions: Positions
  /** Entities are parsed, and kept so. */
  readonly keepsData: boolean
  /** Milliseconds, for dead letters. */
  readonly wallClock: () => number
  /** Of the hashes. */
  readonly seed: number
  /** A message came that was not delivered before, though its id is below one that was. */
  readonly onDisorder: (lane: Lane, at: StreamId) => void
}

const AFTER_DELETE = 'a partial after a delete'

export class Lane {
  readonly spec: LaneSpec
  readonly limits: LaneLimits
  readonly counters = laneCounters()
  readonly shards: readonly Shard[]
  readonly burials = new Burials()
  /** Batches under way. */
  inFlight = 0
  /** Where the look for the next batch begins. */
  nextShard = 0
  /** When the cursor in the store is to be renewed if no batch did it, in monotonic milliseconds. */
  touchDueMs = 0
  /** The cursor that its place in the store is known to have. */
  storedCursor: StreamId | undefined
  readonly #options: LaneOptions
  readonly #positions: Positions
  readonly #holdings: Holdings
  readonly #keepsData: boolean
  readonly #seed: number
  readonly #returns: Returns
  /** Newest id that came for it. */
  readonly #newest = new Watermark()

  constructor(options: LaneOptions) {
    const { spec, limits, positions, keepsData, seed } = options
    this.#options = options
    this.spec = spec
    this.limits = limits
    this.shards = Array.from({ length: limits.shards }, () => new Shard())
    this.#positions = positions
    this.#holdings = new Holdings(positions, keepsData)
    this.#keepsData = keepsData
    this.#seed = seed
    this.#returns = new Returns({
      positions,
      holdings: this.#holdings,
      counters: this.counters,
      keepsData,
      shardOf: (hash) => this.#shardOf(hash),
      bury: (partial) => {
        const { messages, at, json } = partial
        this.#bury(partial, messages, at, json, 'no-base', AFTER_DELETE, true)
      },
    })
  }

  /** Changes that are held, those under way and set aside included. */
  get held(): number {
    return this.#holdings.slots
  }
  get heldBytes(): number {
    return this.#holdings.bytes
  }
  /** Rows that are not stored yet. */
  get rowsHeld(): number {
    return this.#holdings.rows
  }
  get parked(): number {
    return this.#returns.parked
  }
  /** At its bound: nothing more should come, though it is taken if it does. */
  get full(): boolean {
    return this.held >= this.limits.maxChanges || this.heldBytes >= this.limits.maxBytes
  }

  /** A message of the stream. */
  receive(
    kind: Kind,
    id: string,
    json: string,
    data: EntityData | undefined,
    at: StreamId,
    now: number,
  ): void {
    this.counters.received += 1
    const isNew = this.#arrive(at)
    const needsData = kind === 'partial' || (this.#keepsData && kind === 'full')
    const kept = needsData ? (data ?? (JSON.parse(json) as EntityData)) : undefined
    this.#take(kind, id, json, kept, at, false, isNew, now)
  }

  /** A full state of the stream, whose id (ASCII) and JSON lie in bytes, which are not kept. */
  receiveBytes(
    bytes: Buffer,
    idFrom: number,
    idTo: number,
    from: number,
    to: number,
    at: StreamId,
    now: number,
  ): void {
    const isUsual = !this.#keepsData && this.#returns.parked === 0
    const hash = hashOfBytes(bytes, idFrom, idTo, this.#seed)
    const shard = this.#shardOf(hash)
    const waits = isUsual ? shard.waiting.find(bytes, idFrom, idTo, hash) : undefined
    const before = waits?.bytes ?? 0
    const put = waits?.putBytes(bytes, from, to, at)
    const created =
      isUsual && waits === undefined ? this.#holdings.cell(idTo - idFrom + to - from) : undefined
    if (put === undefined && created === undefined) {
      // What is rare goes the way of texts.
      const id = bytes.toString('latin1', idFrom, idTo)
      this.receive('full', id, bytes.toString('utf8', from, to), undefined, at, now)
      return
    }
    this.counters.received += 1
    const isNew = this.#arrive(at)
    const ascending = shard.isAscending(at)
    if (created !== undefined) {
      created.begin(bytes, idFrom, idTo, from, to, at, now, hash)
      this.#begin(shard, created, ascending, isNew)
    } else this.#putOn(waits!, put!, before, false, ascending, isNew)
  }

  /** The stream goes on after `at`; undefined where that is not known yet. */
  begin(at: StreamId | undefined): void {
    this.#newest.set(at)
  }

  /** A row of a load. */
  receiveRow(id: string, json: string, data: EntityData | undefined, at: StreamId, now: number): void {
    this.counters.rows += 1
    this.#holdings.rows += 1
    const kept = this.#keepsData ? (data ?? (JSON.parse(json) as EntityData)) : undefined
    this.#take('full', id, json, kept, at, true, false, now)
  }

  /** A message that cannot be applied; `at` where it has an id. */
  bury(
    text: string,
    reason: DeadReason,
    detail: string,
    id: string,
    at: StreamId | undefined,
    now: number,
  ): void {
    this.counters.received += 1
    const slot = new Slot('delete', id, '', undefined, at ?? STREAM_START, false, now, 0)
    if (at === undefined) this.#positions.linkAfter(slot)
    else if (this.#arrive(at)) this.#positions.link(slot)
    this.#bury(slot, 1, at, text, reason, detail)
  }

  /** @returns whether it needs a place among the positions */
  #arrive(at: StreamId): boolean {
    const isNew = this.#positions.arrive(at)
    if (this.#newest.isKnown && this.#newest.isBefore(at)) {
      this.#newest.set(at)
      // It did not come before, and yet the cursor may have passed it.
      if (!isNew) this.#options.onDisorder(this, at)
    }
    return isNew
  }

  #take(
    kind: Kind,
    id: string,
    json: string,
    data: EntityData | undefined,
    at: StreamId,
    fromLoad: boolean,
    isNew: boolean,
    now: number,
  ): void {
    const hash = hashOf(id, this.#seed)
    const shard = this.#shardOf(hash)
    const ascending = shard.isAscending(at)
    const slot = shard.waiting.get(id, hash) ?? this.#returns.find(id)
    if (slot === undefined) {
      const created = new Slot(kind, id, json, data, at, fromLoad, now, hash)
      if (fromLoad) {
        created.rows = 1
        created.messages = 0
      }
      this.#begin(shard, created, ascending, isNew)
      return
    }
    const before = slot.bytes
    const put = slot.put(kind, json, data, at, fromLoad, this.#keepsData)
    if (put === 'unmergeable') {
      const letter = new Slot('delete', id, '', undefined, at, false, now, 0)
      if (isNew) this.#positions.link(letter)
      this.#bury(letter, 1, at, json, 'no-base', AFTER_DELETE)
      return
    }
    this.#putOn(slot, put, before, fromLoad, ascending, isNew)
  }

  #begin(shard: Shard, created: Slot, ascending: boolean, isNew: boolean): void {
    created.ascending = ascending
    if (isNew) this.#positions.link(created)
    this.#holdings.add(created)
    shard.waiting.append(created)
  }

  /** Something was put on a slot that waits. */
  #putOn(
    slot: Slot,
    put: Put,
    bytesBefore: number,
    fromLoad: boolean,
    ascending: boolean,
    isNew: boolean,
  ): void {
    this.#holdings.bytes += slot.bytes - bytesBefore
    if (fromLoad) slot.rows += 1
    if (put === 'older') {
      if (!fromLoad) this.counters.skipped += 1
      return
    }
    if (!fromLoad) {
      this.counters.conflated += 1
      slot.messages += 1
    }
    if (ascending) slot.ascending = true
    if (isNew) this.#positions.link(slot)
    if (slot.kind !== 'partial' && this.#returns.parked > 0) this.#returns.unpark(slot)
  }

  /** The effect of the slot is stored, or was not needed. */
  complete(slot: Slot): void {
    this.#holdings.release(slot)
    this.counters.processed += slot.messages
  }

  /** The sink kept it as a dead letter. */
  died(slot: Slot): void {
    this.#holdings.release(slot)
    this.counters.dead += slot.messages
  }

  buried(burial: Burial): void {
    this.#holdings.release(burial.slot)
    this.counters.dead += burial.messages
  }

  /** A batch did not store these: they wait again, in front. `parks`: partials are set aside. */
  restore(shard: Shard, slots: readonly Slot[], parks: boolean): void {
    this.#returns.restore(shard, slots, parks)
  }

  /** The load is over: what was set aside goes out again. */
  unparkAll(): void {
    this.#returns.unparkAll()
  }

  /** Lets everything go: it comes again from the cursor. */
  clear(): void {
    for (const shard of this.shards) {
      for (const slot of shard.waiting) this.counters.returned += slot.messages
      shard.waiting.clear()
      shard.batch = 0
    }
    this.counters.returned += this.#returns.clear() + this.burials.clear()
    this.#holdings.clear()
    this.inFlight = 0
    this.storedCursor = undefined
  }

  #shardOf(hash: number): Shard {
    return this.shards[hash % this.shards.length]!
  }

  /** `isHeld`: the slot is one that waited. */
  #bury(
    slot: Slot,
    messages: number,
    at: StreamId | undefined,
    text: string,
    reason: DeadReason,
    detail: string,
    isHeld = false,
  ): void {
    const time = this.#options.wallClock()
    const letter = letterOf(this.spec.name, slot.id, at, reason, detail, text, time)
    if (isHeld) this.#holdings.bytes -= slot.bytes
    slot.bytes = SLOT_OVERHEAD + letter.text.length
    if (isHeld) this.#holdings.bytes += slot.bytes
    else this.#holdings.add(slot)
    this.burials.add({ slot, messages, letter })
  }
}
