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
import { isAfter, STREAM_START, type StreamId } from '../stream-id.ts'
import { idOf, jsonOf, type Cell } from './cell.ts'
import { NONE, type Watermark } from './watermark.ts'

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
  hash: number
  /** Undefined while it is in the cell alone. */
  #id: string | undefined
  /** For id and entity as bytes; it stays with the slot. */
  cell: Cell | undefined = undefined
  /** Place among those that wait; they belong to `Waiting`. */
  sameBucket: Slot | undefined = undefined
  next: Slot | undefined = undefined
  previous: Slot | undefined = undefined
  bytes: number
  /** Number of the batch that carries it; 0 while it waits. */
  batch = 0
  kind: Kind
  // Stream ids as numbers: objects of them are held longer than the collector's first look, and with those of thousands of
  // keys it then takes more memory for all that is new.
  #ms: number
  #seq: number
  ascending: boolean
  fromLoad: boolean
  /** Undefined while the text has to be made of the cell, or of `data`. */
  #json: string | undefined
  messages = 1
  /** Rows of the load that are put together in it. */
  rows = 0
  receivedMs: number
  /** Place among the positions; they belong to `Positions`. */
  linked = false
  #beforeMs = NONE
  #beforeSeq = 0
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
    this.#id = id
    this.#ms = at.ms
    this.#seq = at.seq
    this.data = data
    this.fromLoad = fromLoad
    this.ascending = false
    this.receivedMs = receivedMs
    this.#json = json
    this.bytes = sizeOf(id, json, data)
  }

  /** One for the entities that are received as bytes. */
  static withCell(cell: Cell): Slot {
    const slot = new Slot('full', '', '', undefined, STREAM_START, false, 0, 0)
    slot.cell = cell
    return slot
  }

  get at(): StreamId {
    return { ms: this.#ms, seq: this.#seq }
  }
  set at({ ms, seq }: StreamId) {
    this.#ms = ms
    this.#seq = seq
  }

  /** The id that was delivered right before its first message. */
  get before(): StreamId | undefined {
    return this.#beforeMs === NONE ? undefined : { ms: this.#beforeMs, seq: this.#beforeSeq }
  }

  /** Its first message came right after this one, or was that of the other slot. */
  follow(other: Watermark | Slot): void {
    const isSlot = other instanceof Slot
    this.#beforeMs = isSlot ? other.#beforeMs : other.ms
    this.#beforeSeq = isSlot ? other.#beforeSeq : other.seq
  }

  get id(): string {
    return (this.#id ??= idOf(this.cell!))
  }

  get json(): string {
    return (this.#json ??= this.#hasBytes ? jsonOf(this.cell!) : JSON.stringify(this.data))
  }

  /** Where id and entity lie as bytes; undefined where they do not. */
  get utf8(): Cell | undefined {
    return this.#hasBytes ? this.cell : undefined
  }

  get #hasBytes(): boolean {
    return this.cell !== undefined && this.cell.jsonLength > 0
  }

  /** Begins anew with a full state, whose id is ASCII. Its cell has to be large enough. */
  begin(
    bytes: Buffer,
    idFrom: number,
    idTo: number,
    from: number,
    to: number,
    at: StreamId,
    receivedMs: number,
    hash: number,
  ): void {
    const cell = this.cell!
    this.hash = hash
    this.#id = undefined
    this.batch = 0
    this.messages = 1
    this.rows = 0
    this.ascending = false
    this.receivedMs = receivedMs
    cell.idLength = idTo - idFrom
    for (let offset = 0; offset < cell.idLength; offset++)
      cell.memory[cell.at + offset] = bytes[idFrom + offset]!
    this.#fill(cell, bytes, from, to, at)
  }

  /** Puts a full state on top of what is here, as `put` does. @returns undefined where it has no room for it */
  putBytes(bytes: Buffer, from: number, to: number, at: StreamId): Put | undefined {
    if (isAfter(this.at, at)) return 'older'
    const { cell } = this
    if (cell === undefined || cell.idLength + to - from > cell.size) return undefined
    this.#fill(cell, bytes, from, to, at)
    return 'stored'
  }

  #fill(cell: Cell, bytes: Buffer, from: number, to: number, at: StreamId): void {
    bytes.copy(cell.memory, cell.at + cell.idLength, from, to)
    cell.jsonLength = to - from
    this.kind = 'full'
    this.at = at
    this.#json = undefined
    this.data = undefined
    this.fromLoad = false
    this.#merges = 0
    this.bytes = SLOT_OVERHEAD + cell.size
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
    this.#keep(json)
    this.data = keepsData || json === undefined ? data : undefined
    this.fromLoad = fromLoad
    this.#merges = 0
    this.bytes = this.#sizeWith(json ?? '')
    return 'stored'
  }

  /** The newer slot of the same key, which came while this one was under way, on top of this. */
  absorb(newer: Slot, keepsData: boolean): Put {
    const own = this.bytes
    const isNewer = !isAfter(this.at, newer.at)
    const json = newer.#hasBytes ? newer.json : newer.#json
    const put = this.put(newer.kind, json, newer.data, newer.at, newer.fromLoad, keepsData)
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
    const own = (this.data ?? parse(this.json)) as Record<string, unknown>
    if (this.kind === 'full') mergeInto(own, partial)
    else joinInto(own, partial)
    this.at = at
    this.fromLoad = false
    this.#merges += 1
    this.data = own
    this.#keep(undefined)
    if (this.#merges % MEASURE_AFTER === 1) this.#become(this.kind, own, keepsData)
    else this.bytes += PARSED_FACTOR * (json?.length ?? 0)
  }

  #become(kind: Kind, data: EntityData, keepsData: boolean): void {
    this.kind = kind
    this.fromLoad = false
    const json = JSON.stringify(data)
    this.#keep(json)
    this.data = keepsData || kind === 'partial' ? data : undefined
    this.bytes = this.#sizeWith(json)
  }

  /** The entity is this text, and no longer what the cell has. */
  #keep(json: string | undefined): void {
    this.#json = json
    if (this.cell !== undefined) this.cell.jsonLength = 0
  }

  #sizeWith(json: string): number {
    return sizeOf(this.id, json, this.data) + (this.cell?.size ?? 0)
  }
}

function parse(json: string | undefined): EntityData {
  return JSON.parse(json ?? '{}') as EntityData
}

function sizeOf(id: string, json: string, data: EntityData | undefined): number {
  return SLOT_OVERHEAD + id.length + (data === undefined ? json.length : (1 + PARSED_FACTOR) * json.length)
}
