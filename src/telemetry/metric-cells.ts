/** One number of a metric, or one histogram: an addition while it is counted, text when it is asked for. */
import type { CounterCell, GaugeCell, HistogramCell, Labels } from './metric.ts'
import type { OtelHistogram } from './otel-metrics.ts'
import { formatNumber } from './prometheus-text.ts'

/** A cell that is one number; undefined while there is nothing to read. */
export interface ValueCell {
  readonly labels: Labels
  readonly value: number | undefined
}

export class Counter implements CounterCell {
  readonly labels: Labels
  value = 0

  constructor(labels: Labels) {
    this.labels = labels
  }

  add(value = 1): void {
    if (value > 0) this.value += value
  }
}

export class Gauge implements GaugeCell {
  readonly labels: Labels
  value = 0

  constructor(labels: Labels) {
    this.labels = labels
  }

  set(value: number): void {
    if (!Number.isNaN(value)) this.value = value
  }
}

export class Histogram implements HistogramCell {
  readonly #labels: Labels
  readonly #bounds: readonly number[]
  readonly #buckets: number[]
  readonly #otel: OtelHistogram | undefined
  count = 0
  sum = 0

  constructor(labels: Labels, bounds: readonly number[], otel: OtelHistogram | undefined) {
    this.#labels = labels
    this.#bounds = bounds
    this.#buckets = Array.from({ length: bounds.length }, () => 0)
    this.#otel = otel
  }

  observe(value: number): void {
    if (Number.isNaN(value)) return
    const bounds = this.#bounds
    let i = 0
    while (i < bounds.length && value > bounds[i]!) i += 1
    if (i < bounds.length) this.#buckets[i]! += 1
    this.count += 1
    this.sum += value
    if (this.#otel !== undefined) this.#otel.record(value, this.#labels)
  }

  /** Buckets are cumulative in the format, and kept apart here. */
  expose(name: string, labels: string): string {
    const inside = labels === '' ? '' : `${labels.slice(1, -1)},`
    let text = ''
    let below = 0
    for (const [i, bound] of this.#bounds.entries()) {
      below += this.#buckets[i]!
      text += `${name}_bucket{${inside}le="${bound}"} ${below}\n`
    }
    text += `${name}_bucket{${inside}le="+Inf"} ${this.count}\n`
    return `${text}${name}_sum${labels} ${formatNumber(this.sum)}\n${name}_count${labels} ${this.count}\n`
  }
}

/** Readers of the same labels are added up: two samples with the same labels would be invalid. */
export class Readers {
  readonly labels: Labels
  readonly #reads = new Set<{ readonly read: () => number }>()

  constructor(labels: Labels) {
    this.labels = labels
  }

  /** Undefined while there is nothing to read. */
  get value(): number | undefined {
    let total: number | undefined
    for (const { read } of this.#reads) {
      const value = safeRead(read)
      if (value !== undefined) total = (total ?? 0) + value
    }
    return total
  }

  add(read: () => number): () => void {
    const entry = { read }
    this.#reads.add(entry)
    return () => void this.#reads.delete(entry)
  }
}

/** A reader is foreign code: when it throws there is no sample, and the scrape goes on. */
function safeRead(read: () => number): number | undefined {
  try {
    const value = read()
    return Number.isNaN(value) ? undefined : value
  } catch {
    return undefined
  }
}
