/**
 * What a source knows: the entities as they are, and the last messages that made them so.
 *
 * Positions are `ms-seq` and ascend. Messages are kept as the text that is sent, in a ring of fixed length; whoever wants to
 * go on from before its oldest has to load everything anew.
 */

export type Kind = 'full' | 'partial' | 'delete'
export type Data = Readonly<Record<string, unknown>>

export interface Position {
  readonly ms: number
  readonly seq: number
}

interface Entry {
  readonly lane: string
  readonly at: Position
  readonly text: string
}

/** The entities of one type. */
export class Entities {
  /** Undefined where the entity was deleted. Ids keep their place, so that a page can go on from the one before. */
  readonly byId = new Map<string, Data | undefined>()
  readonly ids: string[] = []
  count = 0

  set(id: string, data: Data | undefined): void {
    const had = this.byId.get(id) !== undefined
    if (!this.byId.has(id)) this.ids.push(id)
    this.byId.set(id, data)
    this.count += Number(data !== undefined) - Number(had)
  }
}

export class StreamLog {
  readonly lanes = new Map<string, Entities>()
  readonly #plurals: ReadonlyMap<string, string>
  readonly #keep: number
  readonly #entries: (Entry | undefined)[]
  #begin = 0
  #end = 0
  #last: Position
  /** Up to here nothing is kept any more. */
  #forgotten: Position

  /** `plurals`: names of bulk messages by type of entity; `keep`: messages that are kept. */
  constructor(plurals: Readonly<Record<string, string>>, keep: number, startMs: number) {
    this.#plurals = new Map(Object.entries(plurals))
    for (const lane of this.#plurals.keys()) this.lanes.set(lane, new Entities())
    this.#keep = keep
    this.#entries = Array.from<Entry | undefined>({ length: keep })
    this.#last = this.#forgotten = { ms: startMs, seq: 0 }
  }

  /** Position of the newest message. */
  get last(): Position {
    return this.#last
  }
  /** Index of the next message. */
  get end(): number {
    return this.#end
  }
  /** Index of the oldest message that is kept. */
  get begin(): number {
    return this.#begin
  }

  /** An entity changes, at `ms`. A partial of what is not there is ignored, as a source would not send one. */
  change(lane: string, kind: Kind, id: string, data: Data, ms: number): void {
    const entities = this.#lane(lane)
    const before = entities.byId.get(id)
    if (kind !== 'full' && before === undefined) return
    const at = this.#next(ms)
    entities.set(id, kind === 'delete' ? undefined : kind === 'full' ? data : merge(before ?? {}, data))
    const body = kind === 'delete' ? '' : `,"data":${JSON.stringify(data)}`
    const head = `{"entity_type":"${lane}","message_type":"${kind}","entity_id":${JSON.stringify(id)}`
    this.#append({ lane, at, text: `${head}${body},"stream_id":"${at.ms}-${at.seq}"}` })
  }

  /** Several entities change at once: one message, one position. */
  changeMany(lane: string, items: readonly { readonly id: string; readonly data: Data }[], ms: number): void {
    const entities = this.#lane(lane)
    const at = this.#next(ms)
    for (const { id, data } of items) entities.set(id, data)
    const data = items.map((item) => ({ entity_id: item.id, data: item.data }))
    const text = JSON.stringify({
      entity_type: this.#plurals.get(lane),
      message_type: 'full',
      data,
      stream_id: `${at.ms}-${at.seq}`,
    })
    this.#append({ lane, at, text })
  }

  /** Something that no reader understands, in the middle of the stream. */
  garbage(lane: string, text: string, ms: number): void {
    this.#append({ lane, at: this.#next(ms), text })
  }

  /** An entity without a message, as it was before the stream began. */
  seed(lane: string, id: string, data: Data): void {
    this.#lane(lane).set(id, data)
  }

  at(index: number): Entry | undefined {
    return index < this.#begin || index >= this.#end ? undefined : this.#entries[index % this.#keep]
  }

  /** Index of the first message after `position`; undefined where some of those are not kept any more. */
  after(position: Position): number | undefined {
    if (compare(position, this.#forgotten) < 0) return undefined
    let low = this.#begin
    let high = this.#end
    while (low < high) {
      const middle = (low + high) >> 1
      if (compare(this.at(middle)!.at, position) > 0) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Throws all messages away, as a source does that was started anew. */
  forget(): void {
    this.#begin = this.#end
    this.#entries.fill(undefined)
    this.#forgotten = this.#last
  }

  #lane(name: string): Entities {
    const lane = this.lanes.get(name)
    if (lane === undefined) throw new Error(`there are no entities of the type ${name}`)
    return lane
  }

  #next(ms: number): Position {
    const last = this.#last
    this.#last = ms > last.ms ? { ms, seq: 0 } : { ms: last.ms, seq: last.seq + 1 }
    return this.#last
  }

  #append(entry: Entry): void {
    if (this.#end - this.#begin === this.#keep) {
      this.#forgotten = this.at(this.#begin)!.at
      this.#begin += 1
    }
    this.#entries[this.#end % this.#keep] = entry
    this.#end += 1
  }
}

export function compare(a: Position, b: Position): number {
  return a.ms === b.ms ? a.seq - b.seq : a.ms - b.ms
}

/** A field that is null in the partial is removed, every other one replaced. */
function merge(base: Data, partial: Data): Data {
  const merged: Record<string, unknown> = { ...base, ...partial }
  for (const [field, value] of Object.entries(partial)) if (value === null) delete merged[field]
  return merged
}
