/**
 * Metrics: counters, gauges and histograms in a registry, cheap enough for hot paths, exposed as Prometheus text and,
 * where an OpenTelemetry SDK is registered, recorded there too.
 *
 * `labels` are bound once (`counter.with({ component: 'cache' })`) so that a hot path holds the cell itself and pays
 * an addition, not a lookup.
 */

export type Labels = Readonly<Record<string, string>>

export interface CounterCell {
  add(value?: number): void
  readonly value: number
}
export interface GaugeCell {
  set(value: number): void
  readonly value: number
}
export interface HistogramCell {
  /** In the unit that the metric's name ends with (seconds, bytes). */
  observe(value: number): void
  readonly count: number
  readonly sum: number
}
export interface Family<Cell> {
  with(labels: Labels): Cell
}

export interface Metrics {
  counter(name: string, help: string): Family<CounterCell>
  gauge(name: string, help: string): Family<GaugeCell>
  /**
   * Reads `read` when scraped; the returned function takes it off again. Readers of the same labels are added up.
   * A counter when the name ends with `_total`, else a gauge.
   */
  observe(name: string, help: string, labels: Labels, read: () => number): () => void
  /** `bounds` are the upper limits of the buckets, ascending. */
  histogram(name: string, help: string, bounds?: readonly number[]): Family<HistogramCell>
  /** Prometheus text exposition format 0.0.4. */
  expose(): string
}
