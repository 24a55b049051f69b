/**
 * What one key still has to become: a change that is being put together.
 *
 *            full, row      partial          delete
 *   (none)   full           partial          delete
 *   full     replaced       merged: full     delete
 *   partial  replaced       joined: partial  delete
 *   delete   full           dead: no-base    delete
 *
 * An older message than what is there changes nothing, but for a row of a load that is older than a waiting partial:
 * it is the base that the partial waited for.
 */
import type { Change, EntityData } from '../contract.ts'
import { joinInto, mergeInto } from '../merge.ts'
import { isAfter, type StreamId } from '../stream-id.ts'

export type Kind = Change['kind']

/** What a slot, its place in the table, its version and the headers of its texts take beside the texts, rounded up. */
export const SLOT_OVERHEAD = 384
/** Parsed data takes about this many times its text, and the text is there too. */
const PARSED_FACTOR = 3
/** Merges after which the size is found out anew, since merging adds sizes that overlap. */
const MEASURE_AFTER = 8

/** What `Slot.put` did with a message. */
export type Put = 'stored' | 'older' | 'unmergeable'

export class Slot implements Change {
  // What the way of a message touches stands together: a slot is several lines of the processor's cache.
  readonly hash: number
  readonly id: string
  /** Place among those that wait; they belong to `Waiting`. */
  sameBucket: Slot | undefined = undefined
  next: Slot | undefined = undefined
  previous: Slot | undefined = undefined
  bytes: number
  /** Number of the batch that carries it; 0 while it waits. */
  batch = 0
  kind: Kind
  at: StreamId
  ascending: boolean
  fromLoad: boolean
  /** Undefined while the text has to be made of `data`. */
  #json: string | undefined
  messages = 1
  /** Rows of the load that are put together in it. */
  rows = 0
  receivedMs: number
  /** Place among the positions; they belong to `Positions`. */
  linked = false
  before: StreamId | undefined = undefined
  earlier: Slot | undefined = undefined
  later: Slot | undefined = undefined
  data: EntityData | undefined
  #merges = 0

  constructor(
    kind: Kind,
    id: string,
    json: string,
    data: EntityData | undefined,
    at: StreamId,
    fromLoad: boolean,
    receivedMs: number,
    hash: number,
  ) {
    this.hash = hash
    this.kind = kind
    this.id = id
    this.at = at
    this.data = data
    this.fromLoad = fromLoad
    this.ascending = false
    this.receivedMs = receivedMs
    this.#json = json
    this.bytes = sizeOf(id, json, data)
  }

  get json(): string {
    this.#json ??= JSON.stringify(this.data)
    return this.#json
  }

  /** Puts a message, or the state of a newer slot, on top of what is here. */
  put(
    kind: Kind,
    json: string | undefined,
    data: EntityData | undefined,
    at: StreamId,
    fromLoad: boolean,
    keepsData: boolean,
  ): Put {
    if (isAfter(this.at, at)) {
      if (!fromLoad || this.kind !== 'partial') return 'older'
      const base: Record<string, unknown> = { ...(data ?? parse(json)) }
      mergeInto(base, this.data ?? {})
      this.#become('full', base, keepsData)
      return 'stored'
    }
    if (kind === 'partial') {
      if (this.kind === 'delete') return 'unmergeable'
      this.#merge(json, data, at, keepsData)
      return 'stored'
    }
    this.kind = kind
    this.at = at
    this.#json = json
    this.data = keepsData || json === undefined ? data : undefined
    this.fromLoad = fromLoad
    this.#merges = 0
    this.bytes = sizeOf(this.id, json ?? '', this.data)
    return 'stored'
  }

  /** The newer slot of the same key, which came while this one was under way, on top of this. */
  absorb(newer: Slot, keepsData: boolean): Put {
    const own = this.bytes
    const isNewer = !isAfter(this.at, newer.at)
    const put = this.put(newer.kind, newer.#json, newer.data, newer.at, newer.fromLoad, keepsData)
    if (put !== 'stored') return put
    // Its text may not be made yet, so that its size is what it was taken for.
    if (isNewer) this.bytes = newer.kind === 'partial' ? own + newer.bytes : newer.bytes
    this.messages += newer.messages
    this.rows += newer.rows
    if (newer.ascending) this.ascending = true
    return put
  }

  #merge(json: string | undefined, data: EntityData | undefined, at: StreamId, keepsData: boolean): void {
    const partial = data ?? parse(json)
    // Of a partial the object was made by the source for this message alone; a full may have been let go.
    const own = (this.data ?? parse(this.#json)) as Record<string, unknown>
    if (this.kind === 'full') mergeInto(own, partial)
    else joinInto(own, partial)
    this.at = at
    this.fromLoad = false
    this.#merges += 1
    this.data = own
    this.#json = undefined
    if (this.#merges % MEASURE_AFTER === 1) this.#become(this.kind, own, keepsData)
    else this.bytes += PARSED_FACTOR * (json?.length ?? 0)
  }

  #become(kind: Kind, data: EntityData, keepsData: boolean): void {
    this.kind = kind
    this.fromLoad = false
    this.#json = JSON.stringify(data)
    this.data = keepsData || kind === 'partial' ? data : undefined
    this.bytes = sizeOf(this.id, this.#json, this.data)
  }
}

function parse(json: string | undefined): EntityData {
  return JSON.parse(json ?? '{}') as EntityData
}

function sizeOf(id: string, json: string, data: EntityData | undefined): number {
  return SLOT_OVERHEAD + id.length + (data === undefined ? json.length : (1 + PARSED_FACTOR) * json.length)
}
