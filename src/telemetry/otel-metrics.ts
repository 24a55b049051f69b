/**
 * The same metrics in OpenTelemetry, where a metrics SDK was registered before they were made.
 *
 * Counters and gauges are read by the SDK when it collects, so that they cost nothing when they change.
 */
import type { Labels } from './metric.ts'
import { hasMetricsSdk, otelApi } from './otel-api.ts'

export type Values = () => Iterable<readonly [Labels, number]>

export interface OtelHistogram {
  record(value: number, labels: Labels): void
}

export interface OtelMeter {
  observeCounter(name: string, help: string, values: Values): void
  observeGauge(name: string, help: string, values: Values): void
  histogram(name: string, help: string, bounds: readonly number[]): OtelHistogram
}

/** The meter of the SDK, or undefined where there is none. */
export function otelMeter(): OtelMeter | undefined {
  if (!hasMetricsSdk()) return undefined
  const meter = otelApi().metrics.getMeter('sluice')
  return {
    observeCounter(name, help, values) {
      meter.createObservableCounter(name, { description: help }).addCallback((result) => {
        for (const [labels, value] of values()) result.observe(value, labels)
      })
    },
    observeGauge(name, help, values) {
      meter.createObservableGauge(name, { description: help }).addCallback((result) => {
        for (const [labels, value] of values()) result.observe(value, labels)
      })
    },
    histogram(name, help, bounds) {
      return meter.createHistogram(name, {
        description: help,
        advice: { explicitBucketBoundaries: [...bounds] },
      })
    },
  }
}
