/** How long it took from the commit of a change until what follows from it was committed: the newest of each subscriber. */
const KEPT = 2_000

export class Delays {
  readonly #samples = new Map<string, number[]>()

  add(
    subscriber: string,
    happened: readonly { readonly publishedAt: Date; readonly replay: string | undefined }[],
  ): void {
    const now = Date.now()
    const samples = this.#samples.get(subscriber) ?? []
    this.#samples.set(subscriber, samples)
    for (const { publishedAt, replay } of happened) {
      if (replay === undefined && samples.length < KEPT) samples.push(now - publishedAt.getTime())
    }
  }

  /** Milliseconds of each subscriber since the last call; of a flood the first 2,000. */
  take(): Readonly<Record<string, readonly number[]>> {
    const taken = Object.fromEntries(this.#samples)
    this.#samples.clear()
    return taken
  }
}
