/** Traces with the real SDK, and without any. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, before, beforeEach, test } from 'node:test'
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import fc from 'fast-check'
import { SluiceError } from '../../src/core/errors.ts'
import { carrier, currentContext, runInContext, runWithCarrier } from '../../src/telemetry/context.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { createOperations } from '../../src/telemetry/operations.ts'
import { formatTraceparent, parseTraceparent, startSpan, traceDetached } from '../../src/telemetry/trace.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const exporter = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })

before(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(provider)
})
beforeEach(() => exporter.reset())
after(() => {
  trace.disable()
  context.disable()
  propagation.disable()
})

function setup() {
  const clock = new ManualClock()
  return {
    clock,
    operations: createOperations({
      component: 'db',
      kind: 'postgres',
      limits: {
        timeoutMs: 5_000,
        maxConcurrent: 1,
        maxWaiting: 10,
        breakerThreshold: 3,
        breakerResetMs: 1_000,
        retries: 1,
      },
      clock,
      random: () => 0.5,
      log: silentLogger,
      notReady: () => undefined,
    }),
  }
}

const query = { name: 'query', idempotent: false }

test('an operation is a client span, a child of the caller, and active in its body', async () => {
  const { operations } = setup()
  const request = startSpan('GET /todos', { kind: 'server', attributes: {} })!
  let inside: string | undefined
  await request.run(() =>
    operations.run(
      query,
      () => {
        inside = trace.getActiveSpan()?.spanContext().spanId
        return Promise.resolve(1)
      },
      { label: 'todos of user' },
    ),
  )
  request.end()
  const [operation, parent] = exporter.getFinishedSpans()
  assert.equal(operation?.name, 'db query')
  assert.equal(operation.kind, SpanKind.CLIENT)
  assert.equal(operation.spanContext().spanId, inside)
  assert.equal(operation.parentSpanContext?.spanId, parent?.spanContext().spanId)
  assert.deepEqual(operation.attributes, {
    'sluice.component': 'db',
    'sluice.kind': 'postgres',
    'sluice.operation': 'query',
    'db.system.name': 'postgresql',
    'db.operation.name': 'query',
    'sluice.label': 'todos of user',
  })
  assert.equal(operation.status.code, SpanStatusCode.UNSET)
})

test('a failed operation says so in its span, by code and redacted', async () => {
  const { operations } = setup()
  const error = new SluiceError('SLUICE_QUERY', 'bad at postgres://u:canary@db')
  await assert.rejects(operations.run(query, () => Promise.reject(error)))
  const [span] = exporter.getFinishedSpans()
  assert.equal(span?.status.code, SpanStatusCode.ERROR)
  assert.equal(span.attributes['error.type'], 'SLUICE_QUERY')
  assert.doesNotMatch(JSON.stringify([span.events, span.status, span.attributes]), /canary/)
})

test('timeouts, cancels and refusals end their spans', async () => {
  const { clock, operations } = setup()
  const frozen = operations.run(query, () => new Promise(() => {}))
  const waiting = operations.run(query, () => 1)
  const check = assert.rejects(frozen, { code: 'SLUICE_TIMEOUT' })
  waiting.cancel()
  await clock.advance(5_000)
  await check
  const aborted = operations.run(query, () => 1, { signal: AbortSignal.abort(new Error('no')) })
  await assert.rejects(aborted)
  assert.deepEqual(
    exporter.getFinishedSpans().map(({ attributes }) => attributes['error.type']),
    ['SLUICE_CANCELLED', 'SLUICE_TIMEOUT', 'Error'],
  )
})

test('a queued call keeps the trace and the request of its own caller', async () => {
  const { operations } = setup()
  const gate = Promise.withResolvers<void>()
  const first = startSpan('first', { kind: 'server', attributes: {} })!
  const second = startSpan('second', { kind: 'server', attributes: {} })!
  const holding = first.run(() => operations.run(query, () => gate.promise))
  let seen: unknown
  const queued = second.run(() =>
    runInContext({ requestId: 'two' }, () => operations.run(query, () => (seen = currentContext()))),
  )
  gate.resolve()
  await Promise.all([holding, queued])
  first.end()
  second.end()
  const spans = exporter.getFinishedSpans()
  const parents = spans
    .filter(({ name }) => name === 'db query')
    .map((span) => span.parentSpanContext?.spanId)
  const ids = ['first', 'second'].map((name) => spans.find((s) => s.name === name)?.spanContext().spanId)
  assert.deepEqual(parents, ids)
  assert.deepEqual(seen, { requestId: 'two' })
})

test('background work has a trace of its own, linked to the one that started it', async () => {
  const request = startSpan('request', { kind: 'server', attributes: {} })!
  const run = request.run(() => traceDetached('cache.invalidate'))
  request.end()
  assert.equal(await run(() => Promise.resolve(5)), 5)
  await assert.rejects(traceDetached('broken')(() => Promise.reject(new Error('no'))))
  const [parent, work, broken] = exporter.getFinishedSpans()
  assert.equal(work?.name, 'cache.invalidate')
  assert.notEqual(work.spanContext().traceId, parent?.spanContext().traceId)
  assert.equal(work.links[0]?.context.spanId, parent?.spanContext().spanId)
  assert.equal(broken?.status.code, SpanStatusCode.ERROR)
  assert.equal(broken.links.length, 0)
})

test('a carrier takes request and trace to another thread and back into a context', async () => {
  const span = startSpan('request', { kind: 'server', attributes: {} })!
  const sent = runInContext({ requestId: 'r-1' }, () => span.run(() => carrier()))
  span.end()
  const received = structuredClone(sent)
  await runWithCarrier(received, async () => {
    await Promise.resolve()
    assert.equal(currentContext()?.requestId, 'r-1')
    startSpan('in the thread', { kind: 'internal', attributes: {} })!.end()
  })
  const [parent, child] = exporter.getFinishedSpans()
  assert.equal(child?.spanContext().traceId, parent?.spanContext().traceId)
  assert.equal(child?.parentSpanContext?.spanId, parent?.spanContext().spanId)
})

test('an empty carrier changes nothing', () => {
  assert.deepEqual(carrier(), {})
  runInContext({ requestId: 'outer' }, () =>
    runWithCarrier({}, () => assert.equal(currentContext()?.requestId, 'outer')),
  )
})

test('a traceparent is read as the specification says, and written back', () => {
  const good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  assert.deepEqual(parseTraceparent(` ${good} `), {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    sampled: true,
  })
  assert.equal(formatTraceparent(parseTraceparent(good)!), good)
  assert.equal(
    parseTraceparent('cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-later')?.sampled,
    false,
  )
  const bad = [
    undefined,
    '',
    good.toUpperCase(),
    `ff${good.slice(2)}`,
    `${good}-more`,
    good.slice(0, -1),
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`,
  ]
  for (const header of bad) assert.equal(parseTraceparent(header), undefined)
  fc.assert(fc.property(fc.string(), (header) => void parseTraceparent(header)))
})

test('without an SDK there are no spans and the API is not loaded', () => {
  const url = (file: string): string => new URL(`../../src/telemetry/${file}`, import.meta.url).href
  const code = `
    import { createRequire } from 'node:module'
    import { startSpan, activeTraceparent, traceDetached } from '${url('trace.ts')}'
    import { carrier, runWithCarrier } from '${url('context.ts')}'
    import { createMetrics } from '${url('metrics.ts')}'
    createMetrics().counter('a_total', '').with({}).add()
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const through = runWithCarrier({ requestId: 'r', traceparent }, () => traceDetached('x')(() => carrier()))
    const loaded = Object.keys(createRequire(import.meta.url).cache).filter((f) => f.includes('opentelemetry'))
    console.log(JSON.stringify([startSpan('a', { kind: 'client', attributes: {} }) ?? null, activeTraceparent() ?? null, through, loaded]))
  `
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  assert.deepEqual(JSON.parse(stdout), [null, null, { requestId: 'r', traceparent }, []])
})
