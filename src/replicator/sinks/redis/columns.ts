/** The changes of one unit, as the columns in which they travel. */
import type { Change } from '../../contract.ts'

/** 'n': nothing as new is stored; 's': nothing newer; 'c': what is stored is exactly `from`. See units.ts. */
export type Condition = 'n' | 's' | 'c'

export class Columns {
  readonly changes: Change[] = []
  readonly ids: string[] = []
  readonly versions: string[] = []
  readonly values: string[] = []
  /** Other names, each behind a NUL. */
  readonly names: string[] = []
  readonly conditions: Condition[] = []
  /** What was stored for each 'c', in their order. */
  readonly from: string[] = []
  /** Characters of the values. */
  size = 0
  #plain = true

  add(
    change: Change,
    version: string,
    value: string,
    names: string,
    condition: Condition = 'n',
    from = '',
  ): void {
    this.changes.push(change)
    this.ids.push(change.id)
    this.versions.push(version)
    this.values.push(value)
    this.names.push(names)
    this.conditions.push(condition)
    this.size += value.length
    if (condition !== 'n') this.#plain = false
    if (condition === 'c') this.from.push(from)
  }

  get count(): number {
    return this.ids.length
  }

  /** Everything of the unit `apply` behind its head: number, conditions, and so on. */
  args(named: boolean, letters: readonly string[], lettersKept: number): string[] {
    const args = [
      String(this.count),
      this.#plain ? '' : this.conditions.join(''),
      named ? '1' : '0',
      String(letters.length / 3),
      String(lettersKept),
    ]
    return named
      ? args.concat(this.ids, this.versions, this.values, this.names, this.from, letters)
      : args.concat(this.ids, this.versions, this.values, this.from, letters)
  }

  /** Each change by itself. */
  *singly(): Generator<Columns> {
    let from = 0
    for (let at = 0; at < this.count; at++) {
      const one = new Columns()
      const condition = this.conditions[at]!
      one.add(
        this.changes[at]!,
        this.versions[at]!,
        this.values[at]!,
        this.names[at]!,
        condition,
        condition === 'c' ? this.from[from++]! : '',
      )
      yield one
    }
  }
}
