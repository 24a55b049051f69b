/**
 * One type of entity: its shards, each with the changes that wait in the order in which their keys first came.
 *
 * A key belongs to one shard, and a shard has one batch under way at most, so the order of a key is kept without looking
 * at any other key. What comes for a key while its change waits is put together with it; while its change is under way,
 * a new one begins. Partials without a base are set aside (`parked`) while a load is under way.
 *
 * Every message ends in exactly one way: processed (its effect is stored), skipped as older, or dead.
 */
import type { DeadLetter, DeadReason, EntityData, LaneSpec } from '../contract.ts'
import { DEAD_TEXT_LIMIT } from '../contract.ts'
import { laneCounters } from '../counters.ts'
import { isAfter, STREAM_START, streamIdText, type StreamId } from '../stream-id.ts'
import { Cells } from './cells.ts'
import type { Positions } from './positions.ts'
import { Shard } from './shard.ts'
import { Slot, SLOT_OVERHEAD, type Kind, type Put } from './slot.ts'
import { hashOf, hashOfBytes } from './waiting.ts'

export interface LaneLimits {
  readonly shards: number
  /** Changes that are held, those under way included. */
  readonly maxChanges: number
  readonly maxBytes: number
}

/** A dead letter on its way to the sink, with the slot that keeps the cursor behind it. */
export interface Burial {
  readonly letter: DeadLetter
  readonly slot: Slot
  readonly messages: number
}

export class Lane {
  readonly spec: LaneSpec
  readonly limits: LaneLimits
  readonly counters = laneCounters()
  readonly shards: readonly Shard[]
  burials: Burial[] = []
  /** Changes that are held, those under way and set aside included. */
  held = 0
  heldBytes = 0
  parked = 0
  /** Rows that are not stored yet. */
  rowsHeld = 0
  /** Batches under way. */
  inFlight = 0
  /** Where the look for the next batch begins. */
  nextShard = 0
  /** When the cursor in the store is to be renewed if no batch did it, in monotonic milliseconds. */
  touchDueMs = 0
  /** The cursor that its place in the store is known to have. */
  storedCursor: StreamId | undefined
  readonly #positions: Positions
  readonly #keepsData: boolean
  readonly #wallClock: () => number
  readonly #seed: number
  /** Undefined where entities are parsed, and kept so. */
  readonly #cells: Cells | undefined
  readonly #onDisorder: (lane: Lane, at: StreamId) => void
  /** Newest id that came for it. */
  #newest: StreamId | undefined

  constructor(
    spec: LaneSpec,
    limits: LaneLimits,
    positions: Positions,
    keepsData: boolean,
    wallClock: () => number,
    seed: number,
    onDisorder: (lane: Lane, at: StreamId) => void,
  ) {
    this.spec = spec
    this.limits = limits
    this.shards = Array.from({ length: limits.shards }, () => new Shard())
    this.#positions = positions
    this.#keepsData = keepsData
    this.#wallClock = wallClock
    this.#seed = seed
    this.#cells = keepsData ? undefined : new Cells()
    this.#onDisorder = onDisorder
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
    const cells = this.#cells
    const hash = hashOfBytes(bytes, idFrom, idTo, this.#seed)
    const shard = this.shards[hash % this.shards.length]!
    const waits =
      cells === undefined || this.parked > 0 ? undefined : shard.waiting.find(bytes, idFrom, idTo, hash)
    const before = waits?.bytes ?? 0
    const put = waits?.putBytes(bytes, from, to, at)
    const created =
      waits === undefined && this.parked === 0 ? cells?.take(idTo - idFrom + to - from) : undefined
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
    } else this.#putOn(shard, waits!, put!, before, false, ascending, isNew)
  }

  /** The stream goes on after `at`; undefined where that is not known yet. */
  begin(at: StreamId | undefined): void {
    this.#newest = at
  }

  /** A row of a load. */
  receiveRow(id: string, json: string, data: EntityData | undefined, at: StreamId, now: number): void {
    this.counters.rows += 1
    this.rowsHeld += 1
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
    this.#bury(slot, 1, text, reason, detail)
  }

  /** @returns whether it needs a place among the positions */
  #arrive(at: StreamId): boolean {
    const isNew = this.#positions.arrive(at)
    if (this.#newest !== undefined && isAfter(at, this.#newest)) {
      this.#newest = at
      // It did not come before, and yet the cursor may have passed it.
      if (!isNew) this.#onDisorder(this, at)
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
    const shard = this.shards[hash % this.shards.length]!
    const ascending = shard.isAscending(at)
    const slot = shard.waiting.get(id, hash) ?? (this.parked === 0 ? undefined : shard.parked.get(id))
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
      this.#bury(letter, 1, json, 'no-base', 'a partial after a delete')
      return
    }
    this.#putOn(shard, slot, put, before, fromLoad, ascending, isNew)
  }

  #begin(shard: Shard, created: Slot, ascending: boolean, isNew: boolean): void {
    created.ascending = ascending
    if (isNew) this.#positions.link(created)
    this.#hold(created)
    shard.waiting.append(created)
  }

  /** Something was put on a slot that waits. */
  #putOn(
    shard: Shard,
    slot: Slot,
    put: Put,
    bytesBefore: number,
    fromLoad: boolean,
    ascending: boolean,
    isNew: boolean,
  ): void {
    this.heldBytes += slot.bytes - bytesBefore
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
    if (this.parked > 0 && slot.kind !== 'partial') this.#unpark(shard, slot)
  }

  /** The effect of the slot is stored, or was not needed. */
  complete(slot: Slot): void {
    this.#release(slot)
    this.counters.processed += slot.messages
  }

  /** The sink kept it as a dead letter. */
  died(slot: Slot): void {
    this.#release(slot)
    this.counters.dead += slot.messages
  }

  buried(burial: Burial): void {
    this.#release(burial.slot)
    this.counters.dead += burial.messages
  }

  /** A batch failed: its changes wait again, in front, each below what came for its key meanwhile. */
  restore(shard: Shard, slots: readonly Slot[], parks: boolean): void {
    if (slots.length === 0) return
    const front: Slot[] = []
    for (const slot of slots) {
      slot.batch = 0
      const newer = shard.waiting.get(slot.id, slot.hash)
      if (newer !== undefined) {
        shard.waiting.remove(newer)
        this.#combine(slot, newer)
      }
      if (parks && slot.kind === 'partial') {
        shard.parked.set(slot.id, slot)
        this.parked += 1
      } else front.push(slot)
    }
    shard.waiting.prepend(front)
  }

  /** The load is over: what was set aside goes out again. */
  unparkAll(): void {
    for (const shard of this.shards) {
      for (const slot of shard.parked.values()) this.#unpark(shard, slot)
    }
  }

  /** Lets everything go: it comes again from the cursor. */
  clear(): void {
    for (const shard of this.shards) {
      for (const slot of shard.waiting) this.counters.returned += slot.messages
      for (const slot of shard.parked.values()) this.counters.returned += slot.messages
      shard.waiting.clear()
      shard.parked.clear()
      shard.batch = 0
    }
    this.#cells?.clear()
    for (const burial of this.burials) this.counters.returned += burial.messages
    this.burials = []
    this.held = this.heldBytes = this.parked = this.rowsHeld = this.inFlight = 0
    this.storedCursor = undefined
  }

  #combine(slot: Slot, newer: Slot): void {
    const before = slot.bytes
    const put = slot.absorb(newer, this.#keepsData)
    if (put === 'unmergeable') {
      // Its place among the positions stays with the letter.
      this.#bury(newer, newer.messages, newer.json, 'no-base', 'a partial after a delete', true)
    } else {
      if (put === 'older') {
        this.counters.skipped += newer.messages
        slot.rows += newer.rows
      } else this.counters.conflated += newer.messages
      this.#positions.takeOver(slot, newer)
      this.#cells?.give(newer)
      this.held -= 1
      this.heldBytes -= newer.bytes
    }
    this.heldBytes += slot.bytes - before
  }

  #unpark(shard: Shard, slot: Slot): void {
    if (!shard.parked.delete(slot.id)) return
    this.parked -= 1
    shard.waiting.append(slot)
  }

  #hold(slot: Slot): void {
    this.held += 1
    this.heldBytes += slot.bytes
  }

  #release(slot: Slot): void {
    this.held -= 1
    this.heldBytes -= slot.bytes
    this.rowsHeld -= slot.rows
    this.#positions.unlink(slot)
    this.#cells?.give(slot)
  }

  #bury(
    slot: Slot,
    messages: number,
    text: string,
    reason: DeadReason,
    detail: string,
    isHeld = false,
  ): void {
    const kept = text.length > DEAD_TEXT_LIMIT ? text.slice(0, DEAD_TEXT_LIMIT) : text
    if (isHeld) this.heldBytes -= slot.bytes
    slot.bytes = SLOT_OVERHEAD + kept.length
    if (isHeld) this.heldBytes += slot.bytes
    else this.#hold(slot)
    this.burials.push({
      slot,
      messages,
      letter: {
        lane: this.spec.name,
        id: slot.id,
        streamId: slot.at === STREAM_START ? '' : streamIdText(slot.at),
        reason,
        detail,
        text: kept,
        timeMs: this.#wallClock(),
      },
    })
  }
}
