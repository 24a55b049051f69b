import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import {
  abandon,
  AsyncResult,
  fail,
  fulfil,
  isAsyncResult,
  pendingResult,
} from '../../src/core/async-result.ts'
import { runProgram } from '../support/guide-programs.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const boom = new Error('boom')

test('a result is a native promise that await and Promise.all treat as one of the engine', async () => {
  const result = pendingResult<number>(undefined)
  assert.ok(result instanceof Promise)
  assert.equal(result.constructor, Promise)
  assert.equal(Promise.resolve(result), result, 'not wrapped again')
  assert.equal(result.then(String).constructor, Promise)
  assert.ok(!isAsyncResult(result.then(String)))
  fulfil(result, 7)
  assert.deepEqual(await Promise.all([result, result]), [7, 7])
})

test('the status follows the operation', async () => {
  const ok = pendingResult<number>({ name: 'cache: get' })
  assert.deepEqual([ok.status, ok.isDone, ok.name], ['pending', false, 'cache: get'])
  assert.equal(fulfil(ok, 1), true)
  assert.deepEqual([ok.status, ok.isDone], ['fulfilled', true])
  assert.equal(await ok.wait(), 1)

  const failed = pendingResult<number>(undefined)
  assert.equal(fail(failed, boom), true)
  assert.equal(failed.status, 'rejected')
  await assert.rejects(failed, boom)

  const given = pendingResult<number>(undefined)
  assert.equal(abandon(given, boom), true)
  assert.equal(given.status, 'cancelled')
  await assert.rejects(given, boom)
})

test('a result settles once, whoever comes later', async () => {
  const result = pendingResult<number>(undefined)
  fulfil(result, 1)
  assert.deepEqual(
    [fulfil(result, 2), fail(result, boom), abandon(result, boom), result.cancel()],
    [false, false, false, false],
  )
  assert.equal(result.status, 'fulfilled')
  assert.equal(await result, 1)
})

test('cancel rejects at once with SLUICE_CANCELLED and tells the owner why', async () => {
  const reasons: unknown[] = []
  const result = pendingResult<number>({ name: 'cache: get', cancel: (reason) => reasons.push(reason) })
  assert.equal(result.cancel(), true)
  assert.equal(result.status, 'cancelled')
  await assert.rejects(result, { code: 'SLUICE_CANCELLED', message: '"cache: get" was cancelled' })
  assert.equal((reasons[0] as { code: string }).code, 'SLUICE_CANCELLED')
  assert.equal(result.cancel(), false)
  assert.equal(reasons.length, 1)
})

test('cancel with a reason rejects with the reason itself', async () => {
  const result = pendingResult<number>(undefined)
  result.cancel(boom)
  await assert.rejects(result, (error) => error === boom)
})

test('waitWithTimeout rejects with SLUICE_TIMEOUT while the operation goes on, and may be called again', async () => {
  const clock = new ManualClock()
  const result = pendingResult<number>({ name: 'db: query' })
  const waited = assert.rejects(result.waitWithTimeout('5s', { clock }), {
    code: 'SLUICE_TIMEOUT',
    message: '"db: query" was not done after 5000 ms; it goes on',
  })
  await clock.advance(4_999)
  assert.equal(clock.pending, 1)
  await clock.advance(1)
  await waited
  assert.equal(result.status, 'pending')
  fulfil(result, 3)
  assert.equal(await result.waitWithTimeout('5s', { clock }), 3)
  assert.equal(clock.pending, 0, 'the timer of a wait that is over is gone')
})

test('waitWithTimeout ends with its signal and leaves no listener on it', async () => {
  const controller = new AbortController()
  const result = pendingResult<number>(undefined)
  const first = result.waitWithTimeout('5s', { signal: controller.signal })
  fulfil(result, 1)
  await first
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)

  const second = pendingResult<number>(undefined).waitWithTimeout('5s', { signal: controller.signal })
  controller.abort(boom)
  await assert.rejects(second, (error) => error === boom)
})

test('waitWithTimeout refuses what is no duration', async () => {
  await assert.rejects(AsyncResult.resolve(1).waitWithTimeout('soon'), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: `waitWithTimeout: expected milliseconds or a duration such as '5s', got "soon"`,
  })
})

test('start runs the function at once and hands out its value, and its failure', async () => {
  let started = false
  const result = AsyncResult.start('report', () => {
    started = true
    return Promise.resolve(5)
  })
  assert.deepEqual([started, result.status, result.name], [true, 'pending', 'report'])
  assert.equal(await result, 5)
  assert.equal(result.status, 'fulfilled')
  await assert.rejects(
    AsyncResult.start('report', () => Promise.reject(boom)),
    (error) => error === boom,
  )
  await assert.rejects(
    AsyncResult.start('report', () => {
      throw boom
    }),
    (error) => error === boom,
  )
})

test('cancel of a started function rejects at once, aborts its signal and ignores its end', async () => {
  const { promise, resolve } = Promise.withResolvers<number>()
  let signal: AbortSignal | undefined
  const result = AsyncResult.start('report', (call) => {
    signal = call.signal
    return promise
  })
  result.cancel(boom)
  assert.equal(signal?.reason, boom)
  resolve(1)
  await assert.rejects(result, (error) => error === boom)
  assert.equal(result.status, 'cancelled')
})

test('a signal that is first looked at after the abort is aborted', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const seen = Promise.withResolvers<unknown>()
  const result = AsyncResult.start('report', async (call) => {
    await promise
    seen.resolve(call.signal.reason)
  })
  result.cancel(boom)
  resolve()
  assert.equal(await seen.promise, boom)
})

test("the caller's signal aborts a started function, and loses its listener when that is done", async () => {
  const controller = new AbortController()
  const { signal } = controller
  const running = AsyncResult.start('report', () => new Promise(() => {}), { signal })
  await AsyncResult.start('report', () => 1, { signal })
  assert.equal(getEventListeners(signal, 'abort').length, 1)
  controller.abort(boom)
  await assert.rejects(running, (error) => error === boom)
  assert.equal(running.status, 'cancelled')

  let ran = false
  const late = AsyncResult.start('report', () => (ran = true), { signal })
  await assert.rejects(late, (error) => error === boom)
  assert.equal(ran, false, 'with an aborted signal nothing starts')
})

test('an executor follows the rules of a promise', async () => {
  assert.equal(await new AsyncResult<number>((resolve) => resolve(Promise.resolve(2))), 2)
  const twice = new AsyncResult<number>((resolve, reject) => {
    resolve(1)
    reject(boom)
    resolve(2)
  })
  assert.equal(twice.status, 'fulfilled')
  assert.equal(await twice, 1)
  await assert.rejects(
    new AsyncResult(() => {
      throw boom
    }),
    (error) => error === boom,
  )
  const following = new AsyncResult<number>((resolve) => resolve(Promise.reject(boom)))
  assert.equal(following.status, 'pending')
  await assert.rejects(following, (error) => error === boom)
  assert.equal(following.status, 'rejected')
})

test('the statics of a promise work on it', async () => {
  assert.ok(isAsyncResult(AsyncResult.resolve(1)))
  assert.equal(await AsyncResult.resolve(Promise.resolve(4)), 4)
  assert.deepEqual(await AsyncResult.all([AsyncResult.resolve(1), 2]), [1, 2])
  const rejected = AsyncResult.reject(boom)
  assert.equal(rejected.status, 'rejected')
  await assert.rejects(rejected, (error) => error === boom)
})

test('a result is recognised, other promises and look-alikes are not', () => {
  assert.ok(isAsyncResult(pendingResult(undefined)))
  for (const other of [Promise.resolve(), {}, null, undefined, 1]) assert.ok(!isAsyncResult(other))
})

test('a failure that nobody awaits is an unhandled rejection of the result, by name; a cancelled one is not', async () => {
  // A program of its own, because the test runner takes an unhandled rejection for a failure of the test.
  const { output, status } = await runProgram(`
    import { AsyncResult, isAsyncResult } from './src/core/async-result.ts'
    process.on('unhandledRejection', (error, promise) => {
      console.log(isAsyncResult(promise) ? promise.name : 'another promise', error.message)
    })
    void AsyncResult.start('analytics: track', () => Promise.reject(new Error('boom')))
    AsyncResult.start('report', () => new Promise(() => {})).cancel()
    void Promise.reject(new Error('of a promise'))
  `)
  assert.deepEqual(
    { output, status },
    { output: 'another promise of a promise\nanalytics: track boom\n', status: 0 },
  )
})
