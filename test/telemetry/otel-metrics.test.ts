/** The same metrics in the real OpenTelemetry SDK. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { metrics as otel } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { createMetrics } from '../../src/telemetry/metrics.ts'

test('where a metrics SDK is registered, every kind of metric is recorded there too', async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({ readers: [reader] })
  otel.setGlobalMeterProvider(provider)
  const metrics = createMetrics()
  metrics.counter('sluice_calls_total', 'Calls.').with({ component: 'db' }).add(3)
  metrics.gauge('sluice_waiting', 'Waiting.').with({}).set(7)
  metrics.observe('sluice_memory_bytes', 'Memory.', { kind: 'heap' }, () => 42)
  const seconds = metrics.histogram('sluice_call_seconds', 'Duration.', [0.1, 1]).with({ component: 'db' })
  seconds.observe(0.05)
  seconds.observe(5)
  await reader.forceFlush()
  await provider.shutdown()
  otel.disable()

  const [collected] = exporter.getMetrics().at(-1)!.scopeMetrics
  assert.equal(collected?.scope.name, 'sluice')
  const points = collected.metrics.map(({ descriptor, dataPoints }) => [
    descriptor.name,
    descriptor.description,
    dataPoints[0]?.attributes,
    dataPoints[0]?.value,
  ])
  assert.deepEqual(points.slice(0, 3), [
    ['sluice_calls_total', 'Calls.', { component: 'db' }, 3],
    ['sluice_waiting', 'Waiting.', {}, 7],
    ['sluice_memory_bytes', 'Memory.', { kind: 'heap' }, 42],
  ])
  assert.partialDeepStrictEqual(points[3], [
    'sluice_call_seconds',
    'Duration.',
    { component: 'db' },
    { count: 2, sum: 5.05, buckets: { boundaries: [0.1, 1], counts: [1, 0, 1] } },
  ])
})
