/** What is measured and logged of operations, and what they must not leak. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { systemClock } from '../../src/core/clock.ts'
import { SluiceError } from '../../src/core/errors.ts'
import { runInContext } from '../../src/telemetry/context.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { OperationLimits } from '../../src/telemetry/operate.ts'
import { OperationLogLimits } from '../../src/telemetry/operation-observer.ts'
import type { OperationsOptions } from '../../src/telemetry/operations.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { cacheOperations, get, never, unavailable as gone } from './cache-operations.ts'
import { parsePrometheus } from './prometheus-text.ts'
import { recordingLogger, type RecordedLine } from './recording-logger.ts'

const unavailable = () => gone('no route to redis://u:canary@cache')

function setup(changed: Partial<OperationLimits> = {}, options: Partial<OperationsOptions> = {}) {
  const metrics = createMetrics()
  const lines: RecordedLine[] = []
  const made = cacheOperations(changed, { log: recordingLogger(lines), metrics, ...options })
  const value = (name: string, labels: Record<string, string> = {}): number | undefined => {
    const sample = [...parsePrometheus(metrics.expose()).values()]
      .flatMap(({ samples }) => samples)
      .find((each) => each.name === name && Object.entries(labels).every(([k, v]) => each.labels[k] === v))
    return sample?.value
  }
  return { ...made, metrics, lines, value }
}

test('the duration of a call is counted by component, operation and outcome', async () => {
  const { clock, operations, value } = setup({ breakerThreshold: 0, retries: 0 })
  const slow = operations.run(get, () => clock.sleep(300))
  await clock.advance(300)
  await slow
  await assert.rejects(operations.run(get, () => Promise.reject(unavailable())))
  const frozen = assert.rejects(operations.run(get, never, { timeout: 100 }))
  await clock.advance(100)
  await frozen
  operations.run(get, never).cancel()
  // The two abandoned bodies give their slots back first.
  await clock.advance(5_000)
  const held = Array.from({ length: 4 }, () => operations.run(get, never))
  await assert.rejects(operations.run(get, never), { code: 'SLUICE_POOL_FULL' })
  for (const call of held) call.cancel()
  const count = (outcome: string): number | undefined =>
    value('sluice_operation_duration_seconds_count', { component: 'cache', operation: 'get', outcome })
  assert.deepEqual(['ok', 'error', 'timeout', 'cancelled', 'refused'].map(count), [1, 1, 1, 5, 1])
  assert.equal(value('sluice_operation_duration_seconds_sum', { outcome: 'ok' }), 0.3)
})

test('running, waiting, retries and the breaker are metrics', async () => {
  const { clock, operations, value } = setup({ maxConcurrent: 1 })
  const gate = Promise.withResolvers<void>()
  const first = operations.run(get, () => gate.promise)
  const second = operations.run(get, () => 2)
  assert.equal(value('sluice_operations_running', { component: 'cache' }), 1)
  assert.equal(value('sluice_operations_waiting', { component: 'cache' }), 1)
  await clock.advance(200)
  gate.resolve()
  await Promise.all([first, second])
  assert.equal(value('sluice_operation_wait_seconds_sum', { component: 'cache' }), 0.2)
  assert.equal(value('sluice_breaker_open', { component: 'cache' }), 0)
  const failing = operations.run(get, () => Promise.reject(unavailable()))
  const check = assert.rejects(failing, { code: 'SLUICE_UNAVAILABLE' })
  await clock.advance(1_000)
  await check
  assert.equal(value('sluice_operation_retries_total', { component: 'cache' }), 2)
  assert.equal(value('sluice_breaker_open', { component: 'cache' }), 1)
  assert.equal(value('sluice_breaker_opened_total', { component: 'cache' }), 1)
})

test('a dependency that is away gives one line a minute, with the number of calls left out', async () => {
  const { clock, operations, lines } = setup({ retries: 0 })
  const seconds = 150
  for (let second = 0; second < seconds; second += 1) {
    for (let i = 0; i < 20; i += 1) {
      const call = operations.run(get, () => Promise.reject(unavailable()))
      await assert.rejects(call)
    }
    await clock.advance(1_000)
  }
  assert.equal(lines.length, 3)
  assert.partialDeepStrictEqual(lines[0], {
    level: 'warn',
    message: 'operation failed: the dependency is unwell',
    component: 'cache',
    operation: 'get',
    code: 'SLUICE_UNAVAILABLE',
    suppressed: 0,
  })
  assert(Number(lines[1]?.['suppressed']) > 10)
  assert.doesNotMatch(JSON.stringify(lines), /canary/)
})

test('several sets of operations of one component keep one line a minute together', async () => {
  const clock = new ManualClock()
  const logLimits = new OperationLogLimits(clock)
  const lines: RecordedLine[] = []
  const shared = { clock, logLimits, log: recordingLogger(lines) }
  for (const { operations } of [setup({ retries: 0 }, shared), setup({ retries: 0 }, shared)]) {
    await assert.rejects(operations.run(get, () => Promise.reject(unavailable())))
  }
  assert.equal(lines.length, 1)
})

test('a component that is not ready gives no line of its own: whoever connects it says why', async () => {
  const reason = new SluiceError('SLUICE_NOT_READY', 'connecting', { component: 'cache' })
  const { operations, lines } = setup({}, { notReady: () => reason })
  await assert.rejects(operations.run(get, never))
  assert.deepEqual(lines, [])
})

test('a mistake of the caller is logged for debugging only, and its recovery from the breaker is told', async () => {
  const { clock, operations, lines } = setup({ retries: 0 })
  await assert.rejects(
    operations.run(get, () => Promise.reject(new SluiceError('SLUICE_QUERY', 'syntax error'))),
  )
  assert.equal(lines[0]?.level, 'debug')
  for (let i = 0; i < 3; i += 1) {
    await assert.rejects(operations.run(get, () => Promise.reject(unavailable())))
  }
  await clock.advance(1_000)
  await operations.run(get, () => 1)
  assert.partialDeepStrictEqual(lines.at(-1), { level: 'info', message: 'the circuit breaker closed again' })
})

test('a slow call is logged with its label and its request, once a minute', async () => {
  const { clock, operations, lines } = setup({}, { slowMs: 200 })
  for (let i = 0; i < 3; i += 1) {
    const call = runInContext({ requestId: 'r-7' }, () =>
      operations.run(get, () => clock.sleep(250), { label: 'user by id' }),
    )
    await clock.advance(250)
    await call
  }
  assert.equal(lines.length, 1)
  assert.partialDeepStrictEqual(lines[0], {
    level: 'warn',
    message: 'slow operation',
    label: 'user by id',
    durationMs: 250,
    requestId: 'r-7',
  })
})

test('the line of a timeout belongs to the request that waited', async () => {
  const { clock, operations, lines } = setup()
  const call = runInContext({ requestId: 'r-8' }, () => operations.run(get, never))
  const check = assert.rejects(call)
  await clock.advance(5_000)
  await check
  assert.equal(lines[0]?.['requestId'], 'r-8')
})

test('a logger that throws does not become the result of an operation', async () => {
  const fail = (): never => {
    throw new Error('logger')
  }
  const log: Logger = { debug: fail, info: fail, warn: fail, error: fail, child: () => log }
  const { operations } = setup({ retries: 0 }, { log })
  await assert.rejects(
    operations.run(get, () => Promise.reject(unavailable())),
    { code: 'SLUICE_UNAVAILABLE' },
  )
})

test('under total failure attempts stay below 1.1 times the calls', async () => {
  const { clock, operations } = setup({ breakerThreshold: 0, maxConcurrent: 50, retries: 5 })
  let attempts = 0
  const calls = 1_000
  for (let i = 0; i < calls; i += 1) {
    const call = operations.run(get, () => {
      attempts += 1
      return Promise.reject(unavailable())
    })
    const check = assert.rejects(call)
    await clock.advance(0)
    if (i % 10 === 0) await clock.advance(5_000)
    void check
  }
  await clock.advance(10_000)
  assert(attempts >= calls)
  assert(attempts <= calls * 1.1, `${attempts} attempts for ${calls} calls`)
})

test('a frozen call settles on the system clock before a timer set 100 ms after its deadline, queued or running', async () => {
  const { operations } = setup({ maxConcurrent: 10, maxWaiting: 100 }, { clock: systemClock })
  const startedAt = performance.now()
  const early: number[] = []
  const order: string[] = []
  // Timers of the same event loop are late together, so that a busy machine does not decide.
  const calls = Array.from({ length: 50 }, async (_, i) => {
    const timeout = 40 + i
    const later = systemClock.sleep(timeout + 100).then(() => order.push(`timer ${i}`))
    await operations.run(get, never, { timeout }).catch(() => order.push(`call ${i}`))
    early.push(performance.now() - startedAt - timeout)
    await later
  })
  await Promise.all(calls)
  assert(Math.min(...early) > -1, 'none is early')
  for (let i = 0; i < 50; i += 1) {
    assert(order.indexOf(`call ${i}`) < order.indexOf(`timer ${i}`), `call ${i} was late`)
  }
})

test('aborts and cancels by the caller do not open the breaker, deadlines do', async () => {
  const { clock, operations } = setup({ maxConcurrent: 20, retries: 0 })
  for (let i = 0; i < 10; i += 1) {
    const controller = new AbortController()
    const aborted = operations.run(get, never, { signal: controller.signal })
    controller.abort(new Error('not wanted'))
    await assert.rejects(aborted, /not wanted/)
  }
  operations.run(get, never).cancel()
  assert.equal(operations.breaker?.state.kind, 'closed')
  const frozen = [1, 2, 3].map(() => assert.rejects(operations.run(get, never), { code: 'SLUICE_TIMEOUT' }))
  await clock.advance(5_000)
  await Promise.all(frozen)
  assert.equal(operations.breaker?.state.kind, 'open')
})

test('calls that time out in the queue do not open the breaker: nothing was sent', async () => {
  const { clock, operations } = setup({ maxConcurrent: 1, maxWaiting: 100 })
  const holding = operations.run(get, never, { timeout: '1m' })
  const queued = Array.from({ length: 20 }, () =>
    assert.rejects(operations.run(get, never), { code: 'SLUICE_TIMEOUT', retryable: true }),
  )
  await clock.advance(5_000)
  await Promise.all(queued)
  assert.equal(operations.breaker?.state.kind, 'closed')
  holding.cancel()
})

test('names of operations made up per call do not fill the registry', async () => {
  const { operations, metrics } = setup()
  for (let i = 0; i < 1_000; i += 1) await operations.run({ name: `op${i}`, idempotent: true }, () => i)
  const names = new Set(Array.from(metrics.expose().matchAll(/operation="([^"]*)"/g), ([, name]) => name))
  assert.equal(names.size, 201)
  assert(names.has('other'))
})

test('one long-lived signal over 100,000 calls collects no listeners and no memory, and gives no warning', async () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => void warnings.push(warning)
  process.on('warning', onWarning)
  const { operations } = cacheOperations(
    { maxConcurrent: 100, maxWaiting: 1_000 },
    { clock: systemClock, metrics: createMetrics() },
  )
  const { signal } = new AbortController()
  const run = async (calls: number): Promise<void> => {
    for (let i = 0; i < calls; i += 500) {
      const some = Array.from({ length: 500 }, (_, n) =>
        operations.run(
          get,
          (call) => (n % 10 === 0 ? Promise.resolve(call.signal.aborted) : Promise.resolve(false)),
          {
            signal,
          },
        ),
      )
      await Promise.all(some)
    }
  }
  // Node keeps what a WeakRef was asked for until the turn is over.
  const heapUsed = async (): Promise<number> => {
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
    return process.memoryUsage().heapUsed
  }
  await run(10_000)
  const before = await heapUsed()
  await run(100_000)
  const grown = ((await heapUsed()) - before) / 1e6
  process.off('warning', onWarning)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  assert.deepEqual(warnings, [])
  assert(grown < 5, `the heap grew by ${grown.toFixed(1)} MB`)
})

test('names beyond the limit share one set of cells, however often they are called', async () => {
  const metrics = createMetrics()
  let made = 0
  const counted: typeof metrics = {
    ...metrics,
    histogram: (name, help, options) => {
      const family = metrics.histogram(name, help, options)
      return { ...family, with: (labels) => (made++, family.with(labels)) }
    },
  }
  const { operations } = setup({}, { metrics: counted })
  for (let i = 0; i < 300; i++) await operations.run({ name: `n${i}`, idempotent: true }, () => i)
  const before = made
  for (let i = 0; i < 100; i++) await operations.run({ name: 'n250', idempotent: true }, () => i)
  assert.equal(made - before, 0)
})
