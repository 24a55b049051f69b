/** All cells of one name: kept apart by their labels, and exposed together. */
import type { CounterCell, Family, GaugeCell, HistogramCell, Labels } from './metric.ts'
import { Counter, Gauge, Histogram, Readers, type ValueCell } from './metric-cells.ts'
import { otelMeter } from './otel-metrics.ts'
import { formatNumber, header, invalidMetric, renderLabels } from './prometheus-text.ts'

/** Sets of labels that one family keeps apart. */
export const MAX_CELLS = 1_000

export type AnyFamily = CounterFamily | GaugeFamily | HistogramFamily | ObservedFamily

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

export class CounterFamily implements Family<CounterCell> {
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

export class GaugeFamily implements Family<GaugeCell> {
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

export class HistogramFamily implements Family<HistogramCell> {
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

/** Read when scraped. A name that ends with `_total` is exposed as a counter, any other as a gauge. */
export class ObservedFamily {
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
