/**
 * Remembers the last offsets that each partition acknowledged, and finds one that was given twice. Clients have
 * acknowledged concurrent sends with the same offset: then one of them is not stored, and its caller must know.
 */
const KEPT = 64

interface Span {
  readonly first: bigint
  readonly last: bigint
}

export class OffsetWatch {
  readonly #spans = new Map<string, Span[]>()

  /** True when none of these offsets was given before, as far back as it remembers. */
  add(topic: string, partition: number, first: bigint, count: number): boolean {
    const name = `${topic}:${partition}`
    let spans = this.#spans.get(name)
    if (spans === undefined) this.#spans.set(name, (spans = []))
    const last = first + BigInt(count) - 1n
    for (const span of spans) if (first <= span.last && last >= span.first) return false
    spans.push({ first, last })
    if (spans.length > KEPT) spans.shift()
    return true
  }

  /** A topic that was made again begins at zero. */
  forget(topic: string): void {
    for (const name of this.#spans.keys()) if (name.startsWith(`${topic}:`)) this.#spans.delete(name)
  }
}
