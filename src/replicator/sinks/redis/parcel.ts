/** The changes of one unit, and the arguments in which they travel. */
import type { Change } from '../../contract.ts'
import { isAfter, STREAM_START, type StreamId } from '../../stream-id.ts'
import { orderKey } from './order-key.ts'
import type { Packer } from './packer.ts'

/**
 * 'u': nothing as new can be stored; 'n': nothing as new is stored; 's': nothing newer; 'c': what is stored is exactly
 * `from`. See units/apply.ts.
 */
export type Condition = 'u' | 'n' | 's' | 'c'

/** All that may change of a change is copied at once: when a call is given up, newer messages are put into it. */
export class Parcel {
  /** Those that are stored with a value, and what goes with each. */
  readonly #set: Change[] = []
  readonly #versions: StreamId[] = []
  readonly #values: string[] = []
  readonly #names: string[] = []
  readonly #deleted: Change[] = []
  readonly #deletedVersions: StreamId[] = []
  readonly #setConditions: Condition[] = []
  readonly #deleteConditions: Condition[] = []
  /** What was stored for each 'c', in their order. */
  readonly #from: string[] = []
  /** Characters of the values. */
  size = 0
  #highest: StreamId = STREAM_START
  #compares = false

  get count(): number {
    return this.#set.length + this.#deleted.length
  }

  /** `names`: other names, each behind a NUL. */
  store(change: Change, value: string, names: string, condition: Condition, from = ''): void {
    this.#set.push(change)
    this.#versions.push(change.at)
    this.#values.push(value)
    this.#names.push(names)
    this.#setConditions.push(condition)
    if (condition === 'c') this.#from.push(from)
    this.size += value.length
    this.#note(change, condition)
  }

  delete(change: Change, condition: Condition): void {
    this.#deleted.push(change)
    this.#deletedVersions.push(change.at)
    this.#deleteConditions.push(condition)
    this.#note(change, condition)
  }

  /** Highest version, as it is compared; '' for none. */
  get highest(): string {
    return this.count === 0 ? '' : orderKey(this.#highest)
  }

  /** One letter a change, or '' where nothing is to be compared. */
  get conditions(): string {
    return this.#compares ? [...this.#setConditions, ...this.#deleteConditions].join('') : ''
  }

  /** Writes the lists of the unit `apply`; `entity` is what the keys of entities begin with. */
  pack(packer: Packer, entity: Buffer, mark: string): void {
    packer.list(2 * this.#set.length)
    for (const [at, change] of this.#set.entries()) {
      packer.textBehind(entity, change.id)
      packer.text(this.#values[at]!)
    }
    packer.list(2 * this.count)
    for (const [at, change] of this.#set.entries()) {
      packer.text(change.id)
      packer.version(this.#versions[at]!, `+${mark}`, this.#names[at]!)
    }
    for (const [at, change] of this.#deleted.entries()) {
      packer.text(change.id)
      packer.version(this.#deletedVersions[at]!, `-${mark}`, '')
    }
    packer.list(this.#from.length)
    for (const text of this.#from) packer.text(text)
  }

  /** Each change by itself. */
  *singly(): Generator<{ readonly change: Change; readonly parcel: Parcel }> {
    let from = 0
    for (const [at, change] of this.#set.entries()) {
      const parcel = new Parcel()
      const condition = this.#setConditions[at]!
      const base = condition === 'c' ? this.#from[from++]! : ''
      parcel.store(change, this.#values[at]!, this.#names[at]!, condition, base)
      yield { change, parcel }
    }
    for (const [at, change] of this.#deleted.entries()) {
      const parcel = new Parcel()
      parcel.delete(change, this.#deleteConditions[at]!)
      yield { change, parcel }
    }
  }

  #note({ at }: Change, condition: Condition): void {
    if (isAfter(at, this.#highest)) this.#highest = at
    if (condition !== 'u') this.#compares = true
  }
}
