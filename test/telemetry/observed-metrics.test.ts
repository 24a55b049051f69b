/** Metrics of pools and of the process. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WorkerPool } from '../../src/pool/worker-pool.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { observePool } from '../../src/telemetry/pool-metrics.ts'
import { observeProcess } from '../../src/telemetry/process-metrics.ts'
import { parsePrometheus } from './prometheus-text.ts'

test('a pool tells what runs, what waits and how tasks ended', async () => {
  const metrics = createMetrics()
  const pool = new WorkerPool({ name: 'app', workers: 1, maxWaiting: 1 })
  const off = observePool(metrics, 'app', pool)
  const gate = Promise.withResolvers<void>()
  const running = pool.submit(() => gate.promise)
  const waiting = pool.submit(() => Promise.reject(new Error('no')))
  await assert.rejects(
    pool.submit(() => 1),
    { code: 'SLUICE_POOL_FULL' },
  )
  const value = (name: string, outcome?: string): number | undefined =>
    parsePrometheus(metrics.expose())
      .get(name)
      ?.samples.find(({ labels }) => labels['pool'] === 'app' && labels['outcome'] === outcome)?.value
  assert.equal(value('sluice_pool_running'), 1)
  assert.equal(value('sluice_pool_waiting'), 1)
  gate.resolve()
  await running
  await assert.rejects(waiting)
  assert.deepEqual(
    ['ok', 'error', 'refused', 'timeout'].map((outcome) => value('sluice_pool_tasks_total', outcome)),
    [1, 1, 1, 0],
  )
  off()
  assert.equal(metrics.expose(), '')
  await pool.close()
})

test('the process tells its memory, processor time and how busy its event loop is', () => {
  const metrics = createMetrics()
  const off = observeProcess(metrics)
  const read = (): Map<string, number> =>
    new Map(
      Array.from(parsePrometheus(metrics.expose()), ([name, family]) => [
        name,
        family.samples[0]?.value ?? NaN,
      ]),
    )
  const first = read()
  for (const [name, value] of first) assert(value >= 0, `${name} is ${value}`)
  assert(first.get('process_resident_memory_bytes')! > 1e7)
  assert(Math.abs(first.get('process_start_time_seconds')! - Date.now() / 1_000) < 600)
  assert(read().get('process_cpu_seconds_total')! >= first.get('process_cpu_seconds_total')!)
  assert(read().get('nodejs_eventloop_utilization_ratio')! <= 1)
  off()
  assert.equal(metrics.expose(), '')
})
