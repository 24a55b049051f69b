/**
 * Changes that a batch did not store. They wait again, in front, each below what came for its key meanwhile; a partial without a
 * base is set aside (parked) while a load is under way, since its row may come yet.
 */
import type { LaneCounters } from '../counters.ts'
import type { Holdings } from './holdings.ts'
import type { Positions } from './positions.ts'
import type { Shard } from './shard.ts'
import type { Slot } from './slot.ts'

export interface ReturnsOptions {
  readonly positions: Positions
  readonly holdings: Holdings
  readonly counters: LaneCounters
  /** Entities are parsed, and kept so. */
  readonly keepsData: boolean
  readonly shardOf: (hash: number) => Shard
  /** A partial that came after a delete. It is held, and has its place among the positions. */
  readonly bury: (partial: Slot) => void
}

export class Returns {
  readonly #options: ReturnsOptions
  readonly #parked = new Map<string, Slot>()

  constructor(options: ReturnsOptions) {
    this.#options = options
  }

  /** How many are set aside. */
  get parked(): number {
    return this.#parked.size
  }

  /** One that is set aside. */
  find(id: string): Slot | undefined {
    return this.#parked.get(id)
  }

  /** `parks`: partials are set aside. */
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
      if (parks && slot.kind === 'partial') this.#parked.set(slot.id, slot)
      else front.push(slot)
    }
    shard.waiting.prepend(front)
  }

  /** It has a base now, or needs none. */
  unpark(slot: Slot): void {
    if (this.#parked.delete(slot.id)) this.#options.shardOf(slot.hash).waiting.append(slot)
  }

  /** The load is over: what was set aside goes out again. */
  unparkAll(): void {
    for (const slot of this.#parked.values()) this.unpark(slot)
  }

  /** Lets those that are set aside go. @returns of how many messages they were */
  clear(): number {
    let messages = 0
    for (const slot of this.#parked.values()) messages += slot.messages
    this.#parked.clear()
    return messages
  }

  #combine(slot: Slot, newer: Slot): void {
    const { positions, holdings, counters, keepsData, bury } = this.#options
    const before = slot.bytes
    const put = slot.absorb(newer, keepsData)
    if (put === 'unmergeable') bury(newer)
    else {
      if (put === 'older') {
        counters.skipped += newer.messages
        slot.rows += newer.rows
      } else counters.conflated += newer.messages
      positions.takeOver(slot, newer)
      holdings.drop(newer)
    }
    holdings.bytes += slot.bytes - before
  }
}
