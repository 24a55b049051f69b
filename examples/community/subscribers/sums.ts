/** Differences of many events to the same counts, put together: one row is written once a batch, in the order of ids. */
import { ids } from './read.ts'

export class Sums<Name extends string> {
  readonly #names: readonly Name[]
  readonly #sums = new Map<string, Record<Name, number>>()

  constructor(names: readonly Name[]) {
    this.#names = names
  }

  add(id: string, by: Partial<Readonly<Record<Name, number>>>): void {
    let sum = this.#sums.get(id)
    if (sum === undefined) {
      sum = Object.fromEntries(this.#names.map((name) => [name, 0])) as Record<Name, number>
      this.#sums.set(id, sum)
    }
    for (const name of this.#names) sum[name] += by[name] ?? 0
  }

  get ids(): readonly string[] {
    return ids(this.#sums.keys())
  }

  /** The ids, and for each name its sums in their order: parameters of one `unnest`. */
  get columns(): readonly (readonly (string | number)[])[] {
    const order = this.ids
    return [order, ...this.#names.map((name) => order.map((id) => this.#sums.get(id)?.[name] ?? 0))]
  }
}
