/**
 * The changes of one unit, written down as the arguments in which they travel. That is done at once: when a call is given up,
 * newer messages are put into the changes.
 */
import type { Change, Utf8 } from '../../contract.ts'
import { isAfter, STREAM_START, type StreamId } from '../../stream-id.ts'
import type { Constant } from './constant.ts'
import { orderKey } from './order-key.ts'
import type { Packer, Packers } from './packer.ts'

/**
 * 'u': nothing as new can be stored; 'n': nothing as new is stored; 's': nothing newer; 'c': what is stored is exactly
 * `from`. See units/apply.ts.
 */
export type Condition = 'u' | 'n' | 's' | 'c'

export interface ParcelOptions {
  readonly packers: Packers
  /** What the keys of entities begin with. */
  readonly entity: Constant
  /** Of the load to which the changes belong. */
  readonly mark: string
}

export class Parcel {
  readonly changes: Change[] = []
  readonly #options: ParcelOptions
  readonly #present: string
  readonly #sets: Packer
  readonly #metas: Packer
  readonly #deleted: Change[] = []
  #setConditions = ''
  #deleteConditions = ''
  /** What was stored for each 'c', in their order. */
  readonly #from: string[] = []
  /** Characters of the values. */
  size = 0
  #highest: StreamId = STREAM_START
  #compares = false

  constructor(options: ParcelOptions) {
    this.#options = options
    this.#present = `+${options.mark}`
    this.#sets = options.packers.take()
    this.#metas = options.packers.take()
    this.#sets.beginList()
    this.#metas.beginList()
  }

  get mark(): string {
    return this.#options.mark
  }

  get count(): number {
    return this.changes.length
  }

  /** `names`: other names, each behind a NUL. */
  store(change: Change, value: string, names: string, condition: Condition, from = ''): void {
    this.#note(change, condition)
    if (this.#compares) this.#setConditions += condition
    if (condition === 'c') this.#from.push(from)
    this.size += value.length
    this.#sets.textBehind(this.#options.entity, change.id)
    this.#sets.text(value)
    this.#metas.text(change.id)
    this.#metas.version(change.at, this.#present, names)
  }

  /** A full state as it was received, without other names. */
  storeBytes(change: Change, { memory, at, idLength, jsonLength }: Utf8, condition: Condition): void {
    this.#note(change, condition)
    if (this.#compares) this.#setConditions += condition
    this.size += jsonLength
    this.#sets.utf8Behind(this.#options.entity, memory, at, idLength)
    this.#sets.utf8(memory, at + idLength, jsonLength)
    this.#metas.utf8(memory, at, idLength)
    this.#metas.version(change.at, this.#present, '')
  }

  delete(change: Change, condition: Condition): void {
    this.#note(change, condition)
    if (this.#compares) this.#deleteConditions += condition
    this.#deleted.push(change)
  }

  /** Highest version, as it is compared; '' for none. */
  get highest(): string {
    return this.count === 0 ? '' : orderKey(this.#highest)
  }

  /** One letter a change, or '' where nothing is to be compared. */
  get conditions(): string {
    return this.#setConditions + this.#deleteConditions
  }

  /** The lists of the unit `apply`. To be called once, and before `release`. */
  pack(): readonly [sets: Buffer, metas: Buffer] {
    const { mark } = this.#options
    const stored = this.count - this.#deleted.length
    for (const { id, at } of this.#deleted) {
      this.#metas.text(id)
      this.#metas.version(at, `-${mark}`, '')
    }
    this.#sets.endList(2 * stored)
    this.#metas.endList(2 * this.count)
    this.#metas.list(this.#from.length)
    for (const text of this.#from) this.#metas.text(text)
    return [this.#sets.bytes, this.#metas.bytes]
  }

  /** Only once nobody reads what was packed any more: the server has answered. */
  release(): void {
    this.#options.packers.give(this.#sets)
    this.#options.packers.give(this.#metas)
  }

  #note(change: Change, condition: Condition): void {
    if (condition !== 'u' && !this.#compares) {
      this.#compares = true
      // Those before it had nothing to be compared with.
      const deleted = this.#deleted.length
      this.#setConditions = 'u'.repeat(this.changes.length - deleted)
      this.#deleteConditions = 'u'.repeat(deleted)
    }
    this.changes.push(change)
    if (isAfter(change.at, this.#highest)) this.#highest = change.at
  }
}
