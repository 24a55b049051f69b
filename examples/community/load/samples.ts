/** Figures of a run: how many, and percentiles of how long. */
const KEPT = 100_000

export class Samples {
  readonly #values: number[] = []
  #count = 0

  /** All are counted; of more than a hundred thousand, a part is kept that stands for all. */
  add(value: number, random: () => number = Math.random): void {
    const index = this.#count < KEPT ? this.#count : Math.floor(random() * (this.#count + 1))
    this.#count++
    if (index < KEPT) this.#values[index] = value
  }

  get count(): number {
    return this.#count
  }

  /** `share` from 0 to 1; NaN without any. */
  percentile(share: number): number {
    const sorted = this.#values.toSorted((a, b) => a - b)
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
  }
}

/** Samples by name, made as they are asked for. */
export class SampleSet {
  readonly #samples = new Map<string, Samples>()

  of(name: string): Samples {
    const known = this.#samples.get(name)
    if (known !== undefined) return known
    const made = new Samples()
    this.#samples.set(name, made)
    return made
  }

  get all(): readonly (readonly [string, Samples])[] {
    return [...this.#samples]
  }
}
