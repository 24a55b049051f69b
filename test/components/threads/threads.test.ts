import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { threads, type ThreadsOptions } from '../../../src/components/threads/index.ts'
import { hasCode, type SluiceError } from '../../../src/core/errors.ts'
import { runInContext } from '../../../src/telemetry/context.ts'
import { connectComponent, openComponent } from '../../../src/testing/connect-component.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'

const good = new URL('./tasks/good.ts', import.meta.url)
const bad = new URL('./tasks/bad.ts', import.meta.url)

const open = (options: ThreadsOptions = {}) =>
  connectComponent(threads({ maxThreads: 2, ...options }), { name: 'cpu' })

/** Tasks that run until they are let go. */
function gate() {
  const shared = new Int32Array(new SharedArrayBuffer(8))
  return {
    shared,
    /** Resolves when `count` tasks are at the gate. */
    reached: async (count: number): Promise<void> => {
      for (let now = Atomics.load(shared, 1); now < count; now = Atomics.load(shared, 1)) {
        const waiting = Atomics.waitAsync(shared, 1, now)
        if (waiting.async) await waiting.value
      }
    },
    open: (): void => {
      Atomics.store(shared, 0, 1)
      Atomics.notify(shared, 0)
    },
  }
}

test('a task is a module named by its URL, and its result comes back', async () => {
  await using pool = await open()
  assert.deepEqual(await pool.api.run(good, { a: [1, new Date(0)] }), { a: [1, new Date(0)] })
  assert.equal(await pool.api.run<number>(good, [1, 2, 3], { name: 'sum' }), 6)
})

test('a task runs in another thread', async () => {
  await using pool = await open()
  assert.notEqual(await pool.api.run(good, undefined, { name: 'thread' }), 0)
})

test('a .js module works, also where a .ts module of that name was compiled away', async () => {
  await using pool = await open()
  const compiled = new URL('./tasks/compiled.js', import.meta.url)
  assert.equal(await pool.api.run(compiled, 'a'), 'compiled a')
  const source = new URL('./tasks/compiled.ts', import.meta.url)
  assert.equal(existsSync(source), false)
  assert.equal(await pool.api.run(source, 'b'), 'compiled b')
})

test('the request and the trace of the caller are known in the thread', async () => {
  await using pool = await open()
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const context = { requestId: 'r-1', traceparent }
  const seen = await runInContext(context, () => pool.api.run(good, undefined, { name: 'context' }))
  assert.deepEqual(seen, context)
  assert.equal(await pool.api.run(good, undefined, { name: 'context' }), undefined)
})

test('what is transferred is moved and not copied, both ways', async () => {
  await using pool = await open()
  const bytes = new ArrayBuffer(64)
  assert.equal(await pool.api.run(good, bytes, { name: 'length', transfer: [bytes] }), 64)
  assert.equal(bytes.byteLength, 0)
  const made = await pool.api.run<Uint8Array>(good, 1_000, { name: 'bytes' })
  assert.equal(made.length, 1_000)
  assert.equal(made[999], 7)
})

test('a task that throws rejects with its own error, name, code and cause', async () => {
  await using pool = await open()
  await assert.rejects(pool.api.run(bad, undefined, { name: 'throws' }), (error: Error) => {
    assert.equal(error.message, 'no such customer')
    assert.equal(error.name, 'TaskError')
    assert.equal('code' in error && error.code, 'E_TASK')
    assert.equal(error.cause instanceof Error && error.cause.message, 'the reason')
    return true
  })
  await assert.rejects(pool.api.run(bad, undefined, { name: 'rejects' }), RangeError)
  await assert.rejects(pool.api.run(bad, undefined, { name: 'throwsFunction' }), { message: 'odd' })
  await assert.rejects(pool.api.run(bad, undefined, { name: 'throwsSluice' }), { code: 'SLUICE_CONFLICT' })
  assert.equal(pool.component.inspect()['crashed'], 0)
})

test('a task that exits fails with SLUICE_THREAD_CRASHED and its exit code', async () => {
  await using pool = await open()
  await assert.rejects(pool.api.run(bad, 3, { name: 'exits' }), (error: SluiceError) => {
    assert.equal(error.code, 'SLUICE_THREAD_CRASHED')
    assert.equal(error.details?.['exitCode'], 3)
    assert.match(error.message, /bad\.ts \(exits\) was ended by itself with exit code 3/)
    return true
  })
})

test('an error that nothing catches in the thread fails the task with SLUICE_THREAD_CRASHED', async () => {
  await using pool = await open()
  await assert.rejects(pool.api.run(bad, undefined, { name: 'throwsLater' }), {
    code: 'SLUICE_THREAD_CRASHED',
    message: /nobody catches this/,
  })
})

test('a task that runs out of memory fails with SLUICE_THREAD_MEMORY', async () => {
  await using pool = await open({ memoryLimit: '32mb' })
  await assert.rejects(pool.api.run(bad, undefined, { name: 'eatsMemory' }), (error: SluiceError) => {
    assert.equal(error.code, 'SLUICE_THREAD_MEMORY')
    assert.match(error.message, /32 MB/)
    assert.match(error.hint ?? '', /memoryLimit/)
    return true
  })
  assert.equal(pool.component.inspect()['outOfMemory'], 1)
})

test('a task that loops for ever fails with SLUICE_TIMEOUT', async () => {
  await using pool = await open()
  await assert.rejects(pool.api.run(bad, undefined, { name: 'loops', timeout: 50 }), {
    code: 'SLUICE_TIMEOUT',
    message: /"cpu: run" timed out after 50 ms/,
  })
})

const deaths: readonly (readonly [string, object])[] = [
  ['throws', { name: 'throws' }],
  ['exits', { name: 'exits' }],
  ['loops for ever', { name: 'loops', timeout: 50 }],
  ['runs out of memory', { name: 'eatsMemory' }],
  ['fails where nothing catches it', { name: 'throwsLater' }],
]
for (const [what, options] of deaths) {
  test(`while one task ${what} another goes on, and the thread is replaced meanwhile`, async (t) => {
    await using pool = await open({ memoryLimit: '32mb' })
    await pool.api.run(good, 'first')
    const { shared, reached, open: letGo } = gate()
    const sibling = pool.api.run<number>(good, shared, { name: 'hold' })
    await reached(1)
    await assert.rejects(pool.api.run(bad, 1, options))
    const began = performance.now()
    await pool.api.run(good, 'alive')
    // Some 50 ms on a quiet machine; how long it takes on a busy one is the machine's affair.
    t.diagnostic(`replaced after ${Math.round(performance.now() - began)} ms`)
    assert.equal(sibling.isDone, false)
    letGo()
    assert.ok((await sibling) > 0)
    await pool.check()
  })
}

test('every thread may be lost at once, and the pool goes on', async () => {
  await using pool = await open()
  const results = await Promise.allSettled(
    Array.from({ length: 6 }, () => pool.api.run(bad, 1, { name: 'exits' })),
  )
  for (const result of results) {
    assert.equal(result.status === 'rejected' && hasCode(result.reason, 'SLUICE_THREAD_CRASHED'), true)
  }
  assert.equal(await pool.api.run(good, 'alive'), 'alive')
})

test('an abort ends the task with the reason of the signal, running or waiting', async () => {
  await using pool = await open({ maxThreads: 1 })
  const reason = new Error('the user left')
  const controller = new AbortController()
  const { shared, reached } = gate()
  const running = pool.api.run(good, shared, { name: 'hold', signal: controller.signal })
  const waiting = pool.api.run(good, 1, { signal: controller.signal })
  await reached(1)
  controller.abort(reason)
  await assert.rejects(running, reason)
  await assert.rejects(waiting, reason)
  await assert.rejects(pool.api.run(good, 1, { signal: controller.signal }), reason)
  assert.equal(await pool.api.run(good, 'alive'), 'alive')
})

test('cancel ends a running task', async () => {
  await using pool = await open({ maxThreads: 1 })
  const running = pool.api.run(bad, undefined, { name: 'loops' })
  await pool.check()
  running.cancel()
  await assert.rejects(running, { code: 'SLUICE_CANCELLED' })
  assert.equal(await pool.api.run(good, 'alive'), 'alive')
})

test('tasks beyond threads and queue are refused with SLUICE_POOL_FULL', async () => {
  await using pool = await open({ maxThreads: 1, maxWaiting: 1 })
  const { shared, reached, open: letGo } = gate()
  const running = pool.api.run(good, shared, { name: 'hold' })
  await reached(1)
  const waiting = pool.api.run(good, 'waited')
  await assert.rejects(pool.api.run(good), { code: 'SLUICE_POOL_FULL', retryable: true })
  letGo()
  await running
  assert.equal(await waiting, 'waited')
})

test('a module, a function or data that is none is named', async () => {
  await using pool = await open()
  const invalid = (message: RegExp) => ({ code: 'SLUICE_INVALID_ARGUMENT', message })
  const missing = new URL('./tasks/missing.ts', import.meta.url)
  await assert.rejects(pool.api.run(missing), invalid(/there is no module .*missing\.ts/))
  await assert.rejects(pool.api.run(good, 1, { name: 'walk' }), invalid(/no function "walk" .*run, sum/))
  await assert.rejects(pool.api.run(good, 1, { name: 'notATask' }), invalid(/no function "notATask"/))
  await assert.rejects(pool.api.run(new URL('https://example.com/x.js')), invalid(/expected a file: URL/))
  await assert.rejects(pool.api.run('./x.ts' as unknown as URL), invalid(/got string/))
  await assert.rejects(
    pool.api.run(good, () => {}),
    invalid(/cannot be sent between threads/),
  )
  await assert.rejects(
    pool.api.run(bad, 1, { name: 'returnsFunction' }),
    invalid(/cannot be sent between threads/),
  )
  await assert.rejects(pool.api.run(new URL('./tasks/broken.ts', import.meta.url)), {
    message: 'this module cannot be loaded',
  })
  assert.equal(await pool.api.run(good, 'alive'), 'alive')
})

test('a thread that dies after its task is replaced too', async () => {
  await using pool = await open({ maxThreads: 1 })
  const thread = () => pool.api.run<number>(good, undefined, { name: 'thread' })
  const dying = await thread()
  const ended = (error: unknown): undefined => {
    assert.ok(hasCode(error, 'SLUICE_THREAD_CRASHED'))
  }
  // Its answer may be lost with the thread that has just sent it.
  const answer = await pool.api.run(bad, 1, { name: 'leavesATimerThatThrows' }).catch(ended)
  assert.ok(answer === 'done' || answer === undefined)
  // The thread may run a few more tasks before it dies, and dies while it runs one or between two: what it had been
  // handed by then fails. That another one takes its place is what ends this loop.
  let now: number | undefined = dying
  while (now === dying || now === undefined) {
    now = await thread().catch(ended)
  }
  assert.equal(await pool.api.run(good, 'alive'), 'alive')
})

test('with several tasks to a thread, one that loops ends its thread at its deadline', async () => {
  await using pool = await open({ maxThreads: 1, tasksPerThread: 10 })
  const looping = pool.api.run(bad, 1, { name: 'loops', timeout: 100 })
  const neighbour = pool.api.run(good, 'neighbour')
  await assert.rejects(looping, { code: 'SLUICE_TIMEOUT' })
  await neighbour.catch((error: unknown) => assert.ok(hasCode(error, 'SLUICE_THREAD_CRASHED')))
  assert.equal(await pool.api.run(good, 'alive'), 'alive')
})

test('several tasks to a thread all come back', async () => {
  await using pool = await open({ maxThreads: 1, tasksPerThread: 10 })
  const results = await Promise.all(Array.from({ length: 500 }, (_, i) => pool.api.run(good, i)))
  assert.deepEqual(
    results,
    Array.from({ length: 500 }, (_, i) => i),
  )
})

/** A thread for two tasks, and a clock that is turned by hand. */
async function openShared(maxThreads: number) {
  const clock = new ManualClock()
  const pool = await connectComponent(threads({ maxThreads, tasksPerThread: 2 }), { name: 'cpu', clock })
  return { pool, clock }
}

/** Longer than a cancelled call keeps its slot. */
const SLOT_GIVEN_BACK_MS = 6_000

test('with several tasks to a thread, those that wait behind cancelled ones wait, and then run', async () => {
  const { pool, clock } = await openShared(1)
  await using _pool = pool
  const { shared, reached, open: letGo } = gate()
  const timeout = '60s'
  for (let round = 1; round <= 3; round++) {
    const left = [1, 2].map(() => pool.api.run(good, shared, { name: 'wait', timeout }))
    if (round === 1) await reached(2)
    for (const each of left) {
      each.cancel()
      await assert.rejects(each, { code: 'SLUICE_CANCELLED' })
    }
    await clock.advance(SLOT_GIVEN_BACK_MS)
  }
  const waiting = [1, 2].map((each) => pool.api.run(good, each, { timeout }))
  letGo()
  assert.deepEqual(await Promise.all(waiting), [1, 2])
  assert.equal(Atomics.load(shared, 1), 2, 'tasks that were cancelled while they waited ran')
})

test('with several tasks to a thread, a cancelled one that still runs at its deadline ends its thread', async () => {
  const { pool, clock } = await openShared(1)
  await using _pool = pool
  const { shared, reached } = gate()
  const blocking = pool.api.run(good, shared, { name: 'hold', timeout: '10s' })
  await reached(1)
  await clock.advance(4_000)
  blocking.cancel()
  await assert.rejects(blocking, { code: 'SLUICE_CANCELLED' })
  await clock.advance(6_000)
  // What is handed to the thread before its end is known fails with it.
  let answer: unknown
  while (answer !== 'alive') {
    answer = await pool.api.run(good, 'alive').catch((error: unknown) => {
      assert.ok(hasCode(error, 'SLUICE_THREAD_CRASHED'))
    })
  }
})

test('with several tasks to a thread, one that is cancelled while its thread starts is not run', async () => {
  const { pool } = await openShared(2)
  await using _pool = pool
  const first = gate()
  const both = [1, 2].map(() => pool.api.run(good, first.shared, { name: 'wait' }))
  await first.reached(2)
  const second = gate()
  const cancelled = pool.api.run(good, second.shared, { name: 'wait' })
  cancelled.cancel()
  await assert.rejects(cancelled, { code: 'SLUICE_CANCELLED' })
  const thread = await pool.api.run<number>(good, undefined, { name: 'thread' })
  first.open()
  assert.equal((await Promise.all(both)).includes(thread), false)
  assert.equal(Atomics.load(second.shared, 1), 0)
})

test('idle threads beyond the minimum end', async () => {
  await using pool = await open({ maxThreads: 2, idleTimeout: 1 })
  const { shared, reached, open: letGo } = gate()
  const both = [1, 2].map(() => pool.api.run(good, shared, { name: 'hold' }))
  await reached(2)
  assert.equal(pool.component.inspect()['threads'], 2)
  letGo()
  await Promise.all(both)
  while (pool.component.inspect()['threads'] !== 1) await pool.api.run(good)
})

test('close lets what runs finish within its time, and refuses what comes later', async () => {
  const pool = await open({ maxThreads: 1 })
  const { shared, reached, open: letGo } = gate()
  const running = pool.api.run<number>(good, shared, { name: 'hold' })
  await reached(1)
  const closing = pool.close()
  letGo()
  assert.ok((await running) > 0)
  await closing
  await assert.rejects(pool.api.run(good), (error) => hasCode(error, 'SLUICE_NOT_READY'))
  assert.equal(pool.component.inspect()['tasks'], 0)
})

test('close cuts off what runs at its deadline, and settles what waits', async () => {
  const pool = await open({ maxThreads: 1 })
  const running = pool.api.run(bad, 1, { name: 'loops' })
  const waiting = pool.api.run(good)
  running.catch(() => {})
  waiting.catch(() => {})
  await pool.close(AbortSignal.timeout(50))
  await assert.rejects(running, { code: 'SLUICE_CLOSED' })
  await assert.rejects(waiting, { code: 'SLUICE_CLOSED' })
})

test('wrong settings are refused together, with what was expected', async () => {
  await assert.rejects(openComponent(threads({ maxThreads: 0, memoryLimit: 'lots' })), (error: Error) => {
    assert.ok(hasCode(error, 'SLUICE_CONFIG'))
    assert.match(error.message, /maxThreads/)
    assert.match(error.message, /memoryLimit/)
    return true
  })
  await assert.rejects(openComponent(threads({ maxThreads: 1, minThreads: 2 })), /at most maxThreads/)
})

test('settings come from the environment', async (t: TestContext) => {
  await using pool = await connectComponent(threads(), { env: { THREADS_MAX_THREADS: '1' } })
  t.assert.equal(pool.component.inspect()['maxThreads'], 1)
})
