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
import type { Metrics } from './metric.ts'
import {
  CounterFamily,
  GaugeFamily,
  HistogramFamily,
  ObservedFamily,
  type AnyFamily,
} from './metric-families.ts'
import { checkName, invalidMetric } from './prometheus-text.ts'

/** Seconds: from a local cache's answer to the longest default deadline. */
export const DEFAULT_BOUNDS: readonly number[] = Object.freeze([
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
])

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
