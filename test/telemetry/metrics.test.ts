import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { MAX_CELLS } from '../../src/telemetry/metric-families.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { programMissing } from '../support/servers.ts'
import { parsePrometheus } from './prometheus-text.ts'

const NASTY = 'back\\slash "quoted"\nnew line {=,} ü 𝄞'

function sampleRegistry() {
  const metrics = createMetrics()
  const calls = metrics.counter('sluice_calls_total', `Calls made. ${NASTY}`)
  calls.with({ component: 'cache', operation: 'get' }).add()
  calls.with({ operation: 'get', component: 'cache' }).add(2)
  calls.with({ component: NASTY, operation: 'set' }).add()
  metrics.gauge('sluice_pool_waiting', 'Tasks that wait.').with({}).set(-3.5)
  const seconds = metrics.histogram('sluice_call_duration_seconds', 'How long calls take.', [0.1, 1])
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.with({ component: 'cache' }).observe(value)
  seconds.with({}).observe(2)
  metrics.observe('sluice_memory_bytes', 'Memory in use.', { kind: 'heap' }, () => 1e21)
  metrics.observe('sluice_cpu_seconds_total', 'Processor time used.', {}, () => 12.5)
  return metrics
}

test('the exposition holds every family with its samples, and is valid', () => {
  const families = parsePrometheus(sampleRegistry().expose())
  const calls = families.get('sluice_calls_total')
  assert.equal(calls?.type, 'counter')
  assert.equal(calls.help, `Calls made. ${NASTY}`)
  assert.deepEqual(calls.samples, [
    { name: 'sluice_calls_total', labels: { component: 'cache', operation: 'get' }, value: 3 },
    { name: 'sluice_calls_total', labels: { component: NASTY, operation: 'set' }, value: 1 },
  ])
  assert.equal(families.get('sluice_pool_waiting')?.samples[0]?.value, -3.5)
  assert.equal(families.get('sluice_memory_bytes')?.type, 'gauge')
  assert.equal(families.get('sluice_cpu_seconds_total')?.type, 'counter')
})

test('a bucket counts what is at most its bound, and buckets are cumulative', () => {
  const seconds = parsePrometheus(sampleRegistry().expose()).get('sluice_call_duration_seconds')
  const values = seconds?.samples
    .filter(({ labels }) => labels['component'] === 'cache')
    .map(({ name, labels, value }) => [
      name.slice('sluice_call_duration_seconds'.length),
      labels['le'],
      value,
    ])
  assert.deepEqual(values, [
    ['_bucket', '0.1', 2],
    ['_bucket', '1', 3],
    ['_bucket', '+Inf', 4],
    ['_sum', undefined, 7.65],
    ['_count', undefined, 4],
  ])
})

test('promtool accepts the exposition', { skip: programMissing('promtool') }, () => {
  const checked = spawnSync('promtool', ['check', 'metrics'], {
    input: sampleRegistry().expose(),
    encoding: 'utf8',
  })
  assert.equal(checked.stdout + checked.stderr, '')
  assert.equal(checked.status, 0)
})

test('any label value and any number survive the text and back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.double({ noNaN: true }), (label, value) => {
      const metrics = createMetrics()
      metrics.gauge('sluice_any', 'Any value.').with({ label }).set(value)
      const sample = parsePrometheus(metrics.expose()).get('sluice_any')?.samples[0]
      assert.equal(sample?.labels['label'], label)
      assert.equal(sample.value + 0, value + 0)
    }),
  )
})

test('a name asked for again is the same family, as another kind it is an error', () => {
  const metrics = createMetrics()
  metrics.counter('sluice_a_total', 'A.').with({}).add()
  assert.equal(metrics.counter('sluice_a_total', 'Other help.').with({}).value, 1)
  assert.throws(() => metrics.observe('sluice_a_total', 'A.', {}, () => 1), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: 'metric "sluice_a_total": it was made as counter, not as observed',
  })
})

test('names, labels and bounds that Prometheus would refuse are refused when they are made', () => {
  const metrics = createMetrics()
  const refused = { code: 'SLUICE_INVALID_ARGUMENT' }
  assert.throws(() => metrics.counter('sluice calls_total', ''), refused)
  assert.throws(() => metrics.counter('sluice_calls', ''), refused)
  assert.throws(() => metrics.gauge('sluice_calls_total', ''), refused)
  assert.throws(() => metrics.histogram('sluice_seconds', '', [1, 1]), refused)
  assert.throws(() => metrics.histogram('sluice_seconds', '', [Infinity]), refused)
  const counter = metrics.counter('sluice_calls_total', '')
  for (const label of ['a-b', '', '__a', 'le', 'ä'])
    assert.throws(() => counter.with({ [label]: '1' }), refused)
})

test('a counter ignores what would make it go back, and cells ignore NaN', () => {
  const metrics = createMetrics()
  const counter = metrics.counter('sluice_a_total', '').with({})
  for (const value of [2, -1, NaN, 0]) counter.add(value)
  assert.equal(counter.value, 2)
  const histogram = metrics.histogram('sluice_b', '').with({})
  histogram.observe(NaN)
  assert.equal(histogram.count, 0)
})

test('labels beyond the limit share one cell called other', () => {
  const metrics = createMetrics()
  const family = metrics.counter('sluice_a_total', '')
  for (let i = 0; i < MAX_CELLS + 500; i += 1) family.with({ user: String(i) }).add()
  const samples = parsePrometheus(metrics.expose()).get('sluice_a_total')?.samples
  assert.equal(samples?.length, MAX_CELLS + 1)
  assert.deepEqual(samples.at(-1), { name: 'sluice_a_total', labels: { user: 'other' }, value: 500 })
})

test('an observed metric is read when scraped, until it is taken off, and summed up by labels', () => {
  const metrics = createMetrics()
  let value = 1
  const off = metrics.observe('sluice_now', 'Now.', { a: 'x' }, () => value)
  value = 2
  assert.match(metrics.expose(), /^sluice_now\{a="x"\} 2$/m)
  const offSecond = metrics.observe('sluice_now', 'Now.', { a: 'x' }, () => 7)
  assert.match(metrics.expose(), /^sluice_now\{a="x"\} 9$/m)
  off()
  assert.match(metrics.expose(), /^sluice_now\{a="x"\} 7$/m)
  offSecond()
  assert.equal(metrics.expose(), '')
})

test('a reader that throws has no sample, and the others keep theirs', () => {
  const metrics = createMetrics()
  metrics.observe('sluice_now', 'Now.', { a: 'bad' }, () => {
    throw new Error('no')
  })
  metrics.observe('sluice_now', 'Now.', { a: 'good' }, () => 1)
  const samples = parsePrometheus(metrics.expose()).get('sluice_now')?.samples
  assert.deepEqual(samples, [{ name: 'sluice_now', labels: { a: 'good' }, value: 1 }])
})
