/**
 * The registry of metrics: cells that cost an addition, exposed as Prometheus text 0.0.4.
 *
 * Where an OpenTelemetry metrics SDK is registered, the same numbers go there, see otel-metrics.ts.
 *
 * - A name asked for twice gives the same family; asked for as another kind it throws SLUICE_INVALID_ARGUMENT, as do
 *   names that Prometheus does not allow and counters whose name does not end with `_total`.
 * - A family holds MAX_CELLS sets of labels. What comes beyond shares one cell whose label values are all `other`, so
 *   that a label taken from user input cannot fill the memory.
 * - A counter ignores what would make it go back, and every cell ignores NaN: a metric never breaks what it measures.
 */
import type { CounterCell, Family, GaugeCell, HistogramCell, Labels, Metrics } from './metric.ts'
import { otelMeter, type OtelHistogram } from './otel-metrics.ts'
import { checkName, formatNumber, header, invalidMetric, renderLabels } from './prometheus-text.ts'

/** Seconds: from a local cache's answer to the longest default deadline. */
export const DEFAULT_BOUNDS: readonly number[] = Object.freeze([
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
])

/** Sets of labels that one family keeps apart. */
export const MAX_CELLS = 1_000

export function createMetrics(): Metrics {
  const families = new Map<string, AnyFamily>()

  const familyOf = <F extends AnyFamily>(name: string, kind: F['kind'], make: () => F): F => {
    const existing = families.get(name)
    if (existing !== undefined) {
      if (existing.kind !== kind) throw invalidMetric(name, `it was made as ${existing.kind}, not as ${kind}`)
      return existing as F
    }
    checkName(name, kind)
    const family = make()
    families.set(name, family)
    return family
  }

  return {
    counter: (name, help) => familyOf(name, 'counter', () => new CounterFamily(name, help)),
    gauge: (name, help) => familyOf(name, 'gauge', () => new GaugeFamily(name, help)),
    histogram: (name, help, bounds = DEFAULT_BOUNDS) =>
      familyOf(name, 'histogram', () => new HistogramFamily(name, help, bounds)),
    observe: (name, help, labels, read) =>
      familyOf(name, 'observed', () => new ObservedFamily(name, help)).add(labels, read),
    expose: () => Array.from(families.values(), (family) => family.expose()).join(''),
  }
}

type AnyFamily = CounterFamily | GaugeFamily | HistogramFamily | ObservedFamily

/** The cells of one name, by their labels. */
class Cells<Cell> {
  readonly #make: (labels: Labels) => Cell
  readonly #cells = new Map<string, Cell>()
  readonly #metric: string

  constructor(metric: string, make: (labels: Labels) => Cell) {
    this.#metric = metric
    this.#make = make
  }

  get(labels: Labels): Cell {
    const key = renderLabels(this.#metric, labels)
    const existing = this.#cells.get(key)
    if (existing !== undefined) return existing
    if (this.#cells.size < MAX_CELLS) return this.#add(key, labels)
    const other = Object.fromEntries(Object.keys(labels).map((label) => [label, 'other']))
    const otherKey = renderLabels(this.#metric, other)
    return this.#cells.get(otherKey) ?? this.#add(otherKey, other)
  }

  entries(): Iterable<[string, Cell]> {
    return this.#cells
  }

  #add(key: string, labels: Labels): Cell {
    const cell = this.#make(Object.freeze({ ...labels }))
    this.#cells.set(key, cell)
    return cell
  }
}

class CounterFamily implements Family<CounterCell> {
  readonly kind = 'counter'
  readonly #head: string
  readonly #name: string
  readonly #cells: Cells<Counter>

  constructor(name: string, help: string) {
    this.#name = name
    this.#head = header(name, help, 'counter')
    this.#cells = new Cells(name, (labels) => new Counter(labels))
    otelMeter()?.observeCounter(name, help, () => cellValues(this.#cells))
  }

  with(labels: Labels): CounterCell {
    return this.#cells.get(labels)
  }

  expose(): string {
    return this.#head + exposeValues(this.#name, this.#cells)
  }
}

class Counter implements CounterCell {
  readonly labels: Labels
  value = 0

  constructor(labels: Labels) {
    this.labels = labels
  }

  add(value = 1): void {
    if (value > 0) this.value += value
  }
}

class GaugeFamily implements Family<GaugeCell> {
  readonly kind = 'gauge'
  readonly #head: string
  readonly #name: string
  readonly #cells: Cells<Gauge>

  constructor(name: string, help: string) {
    this.#name = name
    this.#head = header(name, help, 'gauge')
    this.#cells = new Cells(name, (labels) => new Gauge(labels))
    otelMeter()?.observeGauge(name, help, () => cellValues(this.#cells))
  }

  with(labels: Labels): GaugeCell {
    return this.#cells.get(labels)
  }

  expose(): string {
    return this.#head + exposeValues(this.#name, this.#cells)
  }
}

class Gauge implements GaugeCell {
  readonly labels: Labels
  value = 0

  constructor(labels: Labels) {
    this.labels = labels
  }

  set(value: number): void {
    if (!Number.isNaN(value)) this.value = value
  }
}

class HistogramFamily implements Family<HistogramCell> {
  readonly kind = 'histogram'
  readonly #head: string
  readonly #name: string
  readonly #cells: Cells<Histogram>

  constructor(name: string, help: string, bounds: readonly number[]) {
    if (bounds.some((bound, i) => !Number.isFinite(bound) || (i > 0 && bound <= bounds[i - 1]!))) {
      throw invalidMetric(name, 'the bounds of its buckets must be finite and ascend')
    }
    this.#name = name
    this.#head = header(name, help, 'histogram')
    const copy = Object.freeze([...bounds])
    const otel = otelMeter()?.histogram(name, help, copy)
    this.#cells = new Cells(name, (labels) => new Histogram(labels, copy, otel))
  }

  with(labels: Labels): HistogramCell {
    return this.#cells.get(labels)
  }

  expose(): string {
    let text = this.#head
    for (const [labels, cell] of this.#cells.entries()) text += cell.expose(this.#name, labels)
    return text
  }
}

class Histogram implements HistogramCell {
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

/** Read when scraped. A name that ends with `_total` is exposed as a counter, any other as a gauge. */
class ObservedFamily {
  readonly kind = 'observed'
  readonly #head: string
  readonly #name: string
  readonly #cells: Cells<Readers>

  constructor(name: string, help: string) {
    this.#name = name
    this.#cells = new Cells(name, (labels) => new Readers(labels))
    const isCounter = name.endsWith('_total')
    this.#head = header(name, help, isCounter ? 'counter' : 'gauge')
    const meter = otelMeter()
    if (isCounter) meter?.observeCounter(name, help, () => cellValues(this.#cells))
    else meter?.observeGauge(name, help, () => cellValues(this.#cells))
  }

  add(labels: Labels, read: () => number): () => void {
    return this.#cells.get(labels).add(read)
  }

  expose(): string {
    const text = exposeValues(this.#name, this.#cells)
    return text === '' ? '' : this.#head + text
  }
}

/** Readers of the same labels are added up: two samples with the same labels would be invalid. */
class Readers {
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

interface ValueCell {
  readonly labels: Labels
  readonly value: number | undefined
}

function* cellValues(cells: Cells<ValueCell>): Generator<readonly [Labels, number]> {
  for (const [, { labels, value }] of cells.entries()) if (value !== undefined) yield [labels, value]
}

function exposeValues(name: string, cells: Cells<ValueCell>): string {
  let text = ''
  for (const [labels, { value }] of cells.entries()) {
    if (value !== undefined) text += `${name}${labels} ${formatNumber(value)}\n`
  }
  return text
}
