import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { hasCode, SluiceError } from '../../src/core/errors.ts'
import type { Call } from '../../src/telemetry/operate.ts'
import { cacheOperations, get, never, put, unavailable } from './cache-operations.ts'

test('an operation gives what its body gives, sync or async', async () => {
  const { operations } = cacheOperations()
  assert.equal(await operations.run(get, () => 1), 1)
  assert.equal(await operations.run(get, () => Promise.resolve(2)), 2)
})

test('a frozen call ends at its deadline with a timeout that names it', async () => {
  const { clock, operations } = cacheOperations()
  const result = operations.run(get, never)
  const check = assert.rejects(result, (error: unknown) => {
    assert(hasCode(error, 'SLUICE_TIMEOUT'))
    assert.equal(error.message, '"cache: get" timed out after 5000 ms while it waited for the answer')
    assert.equal(error.component, 'cache')
    assert.equal(error.operation, 'get')
    return true
  })
  await clock.advance(4_999)
  assert.equal(result.status, 'pending')
  await clock.advance(1)
  await check
})

test('a call that waits for a slot has the same deadline, and never runs after it', async () => {
  const { clock, operations } = cacheOperations({ maxConcurrent: 1 })
  let ran = false
  const first = operations.run(get, never)
  const second = operations.run(get, () => (ran = true), { timeout: 100 })
  void first.catch(() => {})
  const check = assert.rejects(second, /timed out after 100 ms while it waited for a slot/)
  await clock.advance(100)
  await check
  await clock.advance(20_000)
  assert.equal(ran, false)
})

test('a full queue refuses with SLUICE_POOL_FULL', async () => {
  const limits = { maxConcurrent: 1, maxWaiting: 1, raise: 'CACHE_MAX_WAITING' }
  const { clock, operations } = cacheOperations(limits)
  const held = [operations.run(get, never), operations.run(get, never)]
  const checks = held.map((result) => assert.rejects(result, /timed out/))
  await assert.rejects(operations.run(get, never), {
    code: 'SLUICE_POOL_FULL',
    retryable: true,
    hint: 'Slow down, or raise CACHE_MAX_WAITING.',
  })
  await clock.advance(5_000)
  await Promise.all(checks)
})

test('a component that is not ready refuses at once with its own reason', async () => {
  const reason = new SluiceError('SLUICE_NOT_READY', 'cache is connecting', { component: 'cache' })
  const { operations } = cacheOperations({}, { notReady: () => reason })
  let ran = false
  await assert.rejects(
    operations.run(get, () => (ran = true)),
    (error: unknown) => error === reason,
  )
  assert.equal(ran, false)
})

test('failures of the dependency open the breaker, which then refuses without running the body', async () => {
  const { clock, operations } = cacheOperations({ retries: 0 })
  for (let i = 0; i < 3; i += 1) {
    await assert.rejects(
      operations.run(get, () => Promise.reject(unavailable())),
      { code: 'SLUICE_UNAVAILABLE' },
    )
  }
  let ran = 0
  await assert.rejects(
    operations.run(get, () => (ran += 1)),
    { code: 'SLUICE_BREAKER_OPEN' },
  )
  assert.equal(ran, 0)
  await clock.advance(1_000)
  assert.equal(await operations.run(get, () => 'back'), 'back')
  assert.equal(await operations.run(get, () => 'closed'), 'closed')
})

test('an idempotent operation is sent again after a retryable error, any other is not', async () => {
  const { clock, operations } = cacheOperations()
  let tries = 0
  const body = (call: Call): Promise<number> => {
    tries += 1
    return call.attempt < 3 ? Promise.reject(unavailable()) : Promise.resolve(call.attempt)
  }
  const result = operations.run(get, body)
  await clock.advance(1_000)
  assert.equal(await result, 3)
  assert.equal(tries, 3)
  tries = 0
  await assert.rejects(operations.run(put, body), { code: 'SLUICE_UNAVAILABLE', operation: 'put' })
  assert.equal(tries, 1)
})

test('an abort by the caller rejects with the reason untouched: in the queue, in the call, in the back-off', async () => {
  for (const place of ['queue', 'call', 'back-off'] as const) {
    const { clock, operations } = cacheOperations({ maxConcurrent: 1 })
    const blocker = place === 'queue' ? operations.run(get, never) : undefined
    void blocker?.catch(() => {})
    const controller = new AbortController()
    const body = place === 'back-off' ? (): Promise<never> => Promise.reject(unavailable()) : never
    const result = operations.run(get, body, { signal: controller.signal })
    await clock.advance(1)
    const reason = new Error(`stop in ${place}`)
    controller.abort(reason)
    await assert.rejects(result, (error: unknown) => error === reason)
  }
})

test('the signal of a call aborts at the deadline, also when it is read only afterwards', async () => {
  const { clock, operations } = cacheOperations()
  let call: Call | undefined
  const result = operations.run(get, (given) => {
    call = given
    return never()
  })
  const check = assert.rejects(result, { code: 'SLUICE_TIMEOUT' })
  await clock.advance(5_000)
  await check
  assert.equal(call?.signal.aborted, true)
  assert(hasCode(call.signal.reason, 'SLUICE_TIMEOUT'))
})

test('cancel ends the call with the reason given, or with SLUICE_CANCELLED', async () => {
  const { operations } = cacheOperations()
  const first = operations.run(get, never)
  assert.equal(first.cancel(), true)
  await assert.rejects(first, { code: 'SLUICE_CANCELLED' })
  const reason = new Error('mine')
  const second = operations.run(get, never)
  second.cancel(reason)
  await assert.rejects(second, (error: unknown) => error === reason)
})

test('an abandoned body keeps its slot until it settles, and for five seconds at most', async () => {
  const { clock, operations } = cacheOperations({ maxConcurrent: 1, breakerThreshold: 0 })
  const body = Promise.withResolvers<void>()
  const first = operations.run(get, () => body.promise, { timeout: 100 })
  const check = assert.rejects(first, { code: 'SLUICE_TIMEOUT' })
  await clock.advance(100)
  await check
  const second = operations.run(get, () => 'second')
  await clock.advance(10)
  assert.equal(second.status, 'pending')
  body.resolve()
  assert.equal(await second, 'second')

  void operations.run(get, never, { timeout: 100 }).catch(() => {})
  const fourth = operations.run(get, () => 'fourth', { timeout: '10s' })
  await clock.advance(5_099)
  assert.equal(fourth.status, 'pending')
  await clock.advance(1)
  assert.equal(await fourth, 'fourth')
})

test('a queued call runs in the async context of its own caller', async () => {
  const { operations } = cacheOperations({ maxConcurrent: 1 })
  const storage = new AsyncLocalStorage<string>()
  const gate = Promise.withResolvers<void>()
  const first = storage.run('first', () => operations.run(get, () => gate.promise))
  const second = storage.run('second', () => operations.run(get, () => storage.getStore()))
  gate.resolve()
  await first
  assert.equal(await second, 'second')
})

test('an error from foreign code inside an operation passes through as it is', async () => {
  const { operations } = cacheOperations()
  const mine = new RangeError('mine')
  await assert.rejects(
    operations.run(get, () => Promise.reject(mine)),
    (error: unknown) => error === mine,
  )
  await assert.rejects(
    operations.run(get, () => {
      throw mine
    }),
    (error: unknown) => error === mine,
  )
})

test('the breaker of operations can be read and held by hand', async () => {
  const { operations } = cacheOperations()
  operations.breaker?.hold('open')
  await assert.rejects(
    operations.run(get, () => 1),
    { code: 'SLUICE_BREAKER_OPEN', component: 'cache' },
  )
  operations.breaker?.release()
  assert.equal(await operations.run(get, () => 1), 1)
  assert.equal(cacheOperations({ breakerThreshold: 0 }).operations.breaker, undefined)
})

test('running and waiting say how full it is', async () => {
  const { operations } = cacheOperations({ maxConcurrent: 1 })
  const gate = Promise.withResolvers<void>()
  const calls = [operations.run(get, () => gate.promise), operations.run(get, () => gate.promise)]
  assert.deepEqual([operations.running, operations.waiting], [1, 1])
  gate.resolve()
  await Promise.all(calls)
  assert.deepEqual([operations.running, operations.waiting], [0, 0])
})

test('options that are none reject, before the body runs', async () => {
  const { operations } = cacheOperations()
  let ran = false
  for (const options of [{ priority: 10 }, { priority: 1.5 }, { timeout: 'soon' }, { timeout: -1 }]) {
    await assert.rejects(
      operations.run(get, () => (ran = true), options),
      { code: 'SLUICE_INVALID_ARGUMENT', message: /expected .*, got/ },
    )
  }
  assert.equal(ran, false)
})

test('ten thousand queued calls that are done at once do not grow the stack', async () => {
  const { operations } = cacheOperations({ maxConcurrent: 1, maxWaiting: 10_000 })
  const gate = Promise.withResolvers<void>()
  const first = operations.run(get, () => gate.promise)
  const rest = Array.from({ length: 10_000 }, (_, i) => operations.run(get, () => i))
  gate.resolve()
  await first
  assert.equal((await Promise.all(rest)).at(-1), 9_999)
})

test('a call that may not be repeated after all rejects with its last failure, not with the refusal', async () => {
  const { clock, operations } = cacheOperations({ breakerThreshold: 1 })
  const gone = unavailable()
  const call = operations.run(get, () => Promise.reject(gone))
  const check = assert.rejects(call, { code: 'SLUICE_UNAVAILABLE', cause: gone })
  await clock.advance(1_000)
  await check
})

test('a deadline that passes in a second attempt names the failure of the first as its cause', async () => {
  const { clock, operations } = cacheOperations()
  const gone = unavailable()
  const call = operations.run(get, ({ attempt }) => (attempt === 1 ? Promise.reject(gone) : never()))
  const check = assert.rejects(call, { code: 'SLUICE_TIMEOUT', cause: gone })
  await clock.advance(5_000)
  await check
})

test('a body is told the time it has left, and none once it was given up', async () => {
  const { clock, operations } = cacheOperations({ timeoutMs: 1_000 })
  let call: Call | undefined
  const result = operations.run(get, (given) => {
    call = given
    return never()
  })
  const check = assert.rejects(result)
  assert.equal(call?.remainingMs, 1_000)
  await clock.advance(400)
  assert.equal(call.remainingMs, 600)
  await clock.advance(600)
  await check
  assert.equal(call.remainingMs, 0)
})

test('thenables that call back twice, late or not at all, and those whose then throws, settle a call once', async () => {
  const { operations } = cacheOperations()
  const thenable = (then: (resolve: (value: number) => void, reject: (error: unknown) => void) => void) =>
    // oxlint-disable-next-line unicorn/no-thenable -- that somebody returns one is the case tested
    ({ then }) as unknown as Promise<number>
  const twice = thenable((resolve, reject) => {
    resolve(1)
    reject(new Error('second'))
    resolve(2)
  })
  assert.equal(await operations.run(get, () => twice), 1)
  const mine = new Error('then')
  await assert.rejects(
    operations.run(get, () =>
      thenable(() => {
        throw mine
      }),
    ),
    (error: unknown) => error === mine,
  )
  const getter = {
    // oxlint-disable-next-line unicorn/no-thenable -- that somebody returns one is the case tested
    get then(): never {
      throw mine
    },
  }
  await assert.rejects(
    operations.run(get, () => getter),
    (error: unknown) => error === mine,
  )
  assert.equal(operations.running, 0)
})

test('a body that aborts its own caller while it runs gives its slot back', async () => {
  const { operations } = cacheOperations({ maxConcurrent: 1 })
  const controller = new AbortController()
  const reason = new Error('self')
  const result = operations.run(
    get,
    () => {
      controller.abort(reason)
      return 1
    },
    { signal: controller.signal },
  )
  await assert.rejects(result, (error: unknown) => error === reason)
  assert.equal(operations.running, 0)
})

test('a call aborted in its back-off is not sent again', async () => {
  const { clock, operations } = cacheOperations()
  const controller = new AbortController()
  let tries = 0
  const body = (): Promise<never> => {
    tries += 1
    return Promise.reject(unavailable())
  }
  const result = operations.run(get, body, { signal: controller.signal })
  await clock.advance(0)
  controller.abort(new Error('enough'))
  await assert.rejects(result, /enough/)
  await clock.advance(5_000)
  assert.equal(tries, 1)
  assert.equal(operations.running, 0)
})

test('a retry that could not be over by the deadline is not begun', async () => {
  const { clock, operations } = cacheOperations({ timeoutMs: 20 })
  const result = operations.run(get, () => Promise.reject(unavailable()))
  await assert.rejects(result, { code: 'SLUICE_UNAVAILABLE' })
  assert.equal(clock.monotonic(), 0)
})

test('a probe that its caller aborts leaves the permit to the next call', async () => {
  const { clock, operations } = cacheOperations({ breakerThreshold: 1, retries: 0 })
  await assert.rejects(operations.run(get, () => Promise.reject(unavailable())))
  await clock.advance(1_000)
  operations.run(get, never).cancel()
  assert.equal(await operations.run(get, () => 'probe'), 'probe')
})

test('calls that wait when the breaker opens are refused, and give their slots back', async () => {
  const { clock, operations } = cacheOperations({
    maxConcurrent: 1,
    maxWaiting: 10,
    breakerThreshold: 1,
    retries: 0,
  })
  const body = Promise.withResolvers<never>()
  const failing = assert.rejects(
    operations.run(get, () => body.promise),
    { code: 'SLUICE_UNAVAILABLE' },
  )
  const waiting = Array.from({ length: 5 }, () =>
    assert.rejects(operations.run(get, never), { code: 'SLUICE_BREAKER_OPEN', component: 'cache' }),
  )
  body.reject(unavailable())
  await Promise.all([failing, ...waiting])
  assert.deepEqual([operations.running, operations.waiting], [0, 0])
  await clock.advance(1_000)
  assert.equal(await operations.run(get, () => 1), 1)
})

test('a timeout that is no duration at all rejects and is named, and throws nothing', async () => {
  const { operations } = cacheOperations()
  for (const timeout of [5n, {}, NaN, null] as unknown as number[]) {
    const result = operations.run({ name: 'get', idempotent: true }, () => 1, { timeout })
    await assert.rejects(result, {
      code: 'SLUICE_INVALID_ARGUMENT',
      message: /timeout: expected milliseconds/,
    })
  }
})
