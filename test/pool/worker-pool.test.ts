import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { hasCode } from '../../src/core/errors.ts'
import { WorkerPool, type TaskCall, type WorkerPoolOptions } from '../../src/pool/worker-pool.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const boom = new Error('boom')

function makePool(options: Partial<WorkerPoolOptions> = {}): {
  pool: WorkerPool
  clock: ManualClock
  errors: Error[]
} {
  const clock = new ManualClock()
  const errors: Error[] = []
  const pool = new WorkerPool({
    name: 'uploads',
    workers: 1,
    maxWaiting: 10,
    clock,
    onError: (error) => void errors.push(error),
    ...options,
  })
  return { pool, clock, errors }
}

/** A task that ends when told. */
function gate(): {
  run: (call: TaskCall) => Promise<number>
  open: () => void
  shut: (error: Error) => void
} {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  return { run: () => promise, open: () => resolve(1), shut: reject }
}

test('a task runs at once when a slot is free, and gives its value', async () => {
  const { pool } = makePool()
  let started = false
  const result = pool.submit(() => {
    started = true
    return Promise.resolve(5)
  })
  assert.deepEqual([started, pool.running, pool.free], [true, 1, 0])
  assert.equal(await result, 5)
  assert.deepEqual([pool.running, pool.free, pool.capacity], [0, 1, 1])
})

test('a function that returns a value, a promise or a foreign thenable is a task', async () => {
  const { pool } = makePool()
  assert.equal(await pool.submit(() => 1), 1)
  assert.equal(await pool.submit(async () => 2), 2)
  // oxlint-disable-next-line unicorn/no-thenable -- query builders are such
  const query = Object.defineProperty({}, 'then', { value: (resolve: (value: number) => void) => resolve(3) })
  assert.equal(await pool.submit(() => query as Promise<number>), 3)
  assert.equal(pool.running, 0)
})

test('a throw and a rejection are the failure of the task and free its slot', async () => {
  const { pool } = makePool()
  await assert.rejects(
    pool.submit(() => {
      throw boom
    }),
    boom,
  )
  await assert.rejects(
    pool.submit(() => Promise.reject(boom)),
    boom,
  )
  // oxlint-disable-next-line unicorn/no-thenable -- a broken one
  const hostile = Object.defineProperty({}, 'then', {
    get: () => {
      throw boom
    },
  })
  await assert.rejects(
    pool.submit(() => hostile),
    boom,
  )
  assert.deepEqual([pool.running, pool.stats().failed], [0, 3])
})

test('no more run than there are slots; the others wait in order', async () => {
  const { pool } = makePool({ workers: 2 })
  const gates = [gate(), gate(), gate()]
  const results = gates.map(({ run }) => pool.submit(run))
  assert.deepEqual([pool.running, pool.waiting], [2, 1])
  gates[1]!.open()
  await results[1]
  assert.deepEqual([pool.running, pool.waiting], [2, 0])
  for (const { open } of gates) open()
  await Promise.all(results)
})

test('ten thousand synchronous tasks behind one do not overflow the stack', async () => {
  const { pool } = makePool({ maxWaiting: 10_000 })
  const first = gate()
  void pool.submit(first.run)
  const results = Array.from({ length: 10_000 }, (_, index) => pool.submit(() => index))
  first.open()
  assert.equal((await Promise.all(results)).at(-1), 9_999)
})

test('a full queue rejects with SLUICE_POOL_FULL, which says how full and may be tried again', async () => {
  const { pool } = makePool({ maxWaiting: 1 })
  const first = gate()
  const accepted = [pool.submit(first.run), pool.submit(() => 2)]
  await assert.rejects(
    pool.submit(() => 3),
    {
      code: 'SLUICE_POOL_FULL',
      message: '"uploads: submit" was refused: 1 tasks run and 1 wait already',
      retryable: true,
    },
  )
  assert.equal(
    pool.post(() => 4),
    false,
  )
  first.open()
  await Promise.all(accepted)
  assert.equal(pool.stats().rejected, 2)
})

test('a million submits at once are bounded by the queue', async () => {
  const { pool } = makePool({ maxWaiting: 100 })
  const first = gate()
  let refused = 0
  void pool.submit(first.run)
  for (let i = 0; i < 1_000_000; i += 1) if (!pool.post(() => {})) refused += 1
  assert.deepEqual([refused, pool.waiting], [999_900, 100])
  first.open()
  await pool.drain()
  assert.equal(pool.stats().completed, 101)
})

test('overflow wait holds submits at the door, in their order, and rejects beyond maxBlocked', async () => {
  const { pool } = makePool({ overflow: 'wait', maxWaiting: 1, maxBlocked: 2 })
  const first = gate()
  const order: number[] = []
  const results = [pool.submit(first.run), ...[1, 2, 3].map((id) => pool.submit(() => order.push(id)))]
  assert.deepEqual([pool.running, pool.waiting, pool.blocked], [1, 1, 2])
  assert.equal(
    pool.post(() => order.push(9)),
    false,
    'post cannot wait',
  )
  await assert.rejects(
    pool.submit(() => 4),
    { code: 'SLUICE_POOL_FULL' },
  )
  first.open()
  await Promise.all(results)
  assert.deepEqual(order, [1, 2, 3])
})

test('overflow drop-oldest drops the oldest of the least urgent, and the new one when that is less urgent still', async () => {
  const { pool } = makePool({ overflow: 'drop-oldest', maxWaiting: 2 })
  const first = gate()
  void pool.submit(first.run)
  const urgent = pool.submit(() => 'urgent', { priority: 1 })
  const oldest = pool.submit(() => 'oldest', { priority: 7 })
  const newer = pool.submit(() => 'newer', { priority: 7 })
  await assert.rejects(oldest, {
    code: 'SLUICE_DROPPED',
    message: /"uploads: submit" was dropped: the queue is full/,
  })
  await assert.rejects(
    pool.submit(() => 'idle', { priority: 9 }),
    { code: 'SLUICE_DROPPED' },
  )
  first.open()
  assert.deepEqual(await Promise.all([urgent, newer]), ['urgent', 'newer'])
  assert.equal(pool.stats().dropped, 2)
})

test('overflow drop-newest drops the new task', async () => {
  const { pool } = makePool({ overflow: 'drop-newest', maxWaiting: 1 })
  const first = gate()
  void pool.submit(first.run)
  const kept = pool.submit(() => 'kept')
  await assert.rejects(
    pool.submit(() => 'new'),
    { code: 'SLUICE_DROPPED' },
  )
  first.open()
  assert.equal(await kept, 'kept')
})

test('overflow conflate replaces the waiting task of the key in its place, so that a busy key is not starved', async () => {
  const { pool } = makePool({ overflow: 'conflate', maxWaiting: 2 })
  const first = gate()
  const order: string[] = []
  const put = (key: string, value: string) => pool.submit(() => order.push(value), { key, name: key })
  void pool.submit(first.run)
  const replaced = [put('a', 'a1')]
  const kept = [put('b', 'b1')]
  replaced.push(put('a', 'a2'))
  kept.push(put('a', 'a3'))
  for (const result of replaced) {
    await assert.rejects(result, {
      code: 'SLUICE_DROPPED',
      message: '"uploads: a" was dropped: a newer task of its key replaced it',
    })
  }
  await assert.rejects(put('c', 'c1'), { code: 'SLUICE_POOL_FULL' })
  first.open()
  await Promise.all(kept)
  assert.deepEqual(order, ['a3', 'b1'])
  await put('a', 'a4')
  assert.equal(order.at(-1), 'a4', 'a key that waits no more is free again')
})

test('cancel of a waiting task takes it out; it never runs', async () => {
  const { pool } = makePool()
  const first = gate()
  const running = pool.submit(first.run)
  let ran = false
  const waiting = pool.submit(() => (ran = true))
  assert.equal(waiting.cancel(boom), true)
  assert.equal(pool.waiting, 0)
  await assert.rejects(waiting, (error) => error === boom)
  first.open()
  await running
  await pool.drain()
  assert.deepEqual([ran, waiting.status, pool.stats().cancelled], [false, 'cancelled', 1])
})

test('cancel of a running task settles it at once, aborts its signal, and frees the slot when the function returns', async () => {
  const { pool, clock } = makePool()
  const end = Promise.withResolvers<void>()
  let signal: AbortSignal | undefined
  const result = pool.submit((call) => {
    signal = call.signal
    return end.promise
  })
  result.cancel()
  await assert.rejects(result, { code: 'SLUICE_CANCELLED', message: '"uploads: submit" was cancelled' })
  assert.ok(hasCode(signal?.reason, 'SLUICE_CANCELLED'))
  assert.equal(pool.running, 1, 'what ignores its signal goes on using its slot')
  end.resolve()
  await pool.drain()
  assert.deepEqual([pool.running, clock.pending], [0, 0])
})

test('a function that ignores its signal for longer than abandonAfter loses its slot, once', async () => {
  const { pool, clock } = makePool({ abandonAfter: '2s' })
  const stuck = gate()
  const result = pool.submit(stuck.run)
  const next = pool.submit(() => 'next')
  result.cancel()
  await clock.advance(1_999)
  assert.deepEqual([pool.running, pool.waiting], [1, 1])
  await clock.advance(1)
  assert.equal(await next, 'next')
  stuck.open()
  await pool.drain()
  assert.deepEqual([pool.running, pool.free, pool.stats().abandoned], [0, 1, 1])
})

test("an abort of the caller's signal rejects with its reason in every phase, and leaves no listener behind", async () => {
  const { pool } = makePool()
  const controller = new AbortController()
  const { signal } = controller
  await pool.submit(() => 1, { signal })
  await assert.rejects(
    pool.submit(() => Promise.reject(boom), { signal }),
    boom,
  )
  assert.equal(getEventListeners(signal, 'abort').length, 0)

  const running = pool.submit(
    (call) => new Promise((_, reject) => call.signal.addEventListener('abort', () => reject(boom))),
    { signal },
  )
  const waiting = pool.submit(() => 2, { signal })
  controller.abort(new Error('client went away'))
  await assert.rejects(running, { message: 'client went away' })
  await assert.rejects(waiting, { message: 'client went away' })
  await assert.rejects(
    pool.submit(() => assert.fail('it must not run'), { signal }),
    { message: 'client went away' },
  )
  await pool.drain()
  assert.deepEqual([getEventListeners(signal, 'abort').length, pool.stats().cancelled], [0, 3])
})

test('a timeout names the task and where it was, and a waiting task may be tried again', async () => {
  const { pool, clock } = makePool()
  const running = pool.submit(() => new Promise(() => {}), { timeout: '5s', name: 'resize' })
  const waiting = pool.submit(() => 1, { timeout: 2_000 })
  const outcomes = Promise.allSettled([running, waiting])
  await clock.advance(5_000)
  const [ran, waited] = (await outcomes) as PromiseRejectedResult[]
  assert.equal((ran!.reason as Error).message, '"uploads: resize" timed out after 5000 ms while it ran')
  assert.equal(
    (waited!.reason as Error).message,
    '"uploads: submit" timed out after 2000 ms while it waited for a slot',
  )
  assert.deepEqual(
    [ran, waited].map((outcome) => (outcome!.reason as { retryable: boolean }).retryable),
    [false, true],
  )
  assert.equal(pool.stats().timedOut, 2)
})

test('a task that is done in time leaves no timer', async () => {
  const { pool, clock } = makePool()
  const first = gate()
  const results = [pool.submit(first.run, { timeout: '5s' }), pool.submit(() => 1, { timeout: '5s' })]
  first.open()
  await Promise.all(results)
  await assert.rejects(pool.submit(() => Promise.reject(boom), { timeout: '5s' }))
  assert.equal(clock.pending, 0)
})

test('a task runs in the async context of its caller, whoever frees the slot', async () => {
  const { pool } = makePool()
  const context = new AsyncLocalStorage<string>()
  const read = async (): Promise<string | undefined> => {
    await Promise.resolve()
    return context.getStore()
  }
  const results = ['first', 'second', 'third'].map((name) => context.run(name, () => pool.submit(read)))
  assert.deepEqual(await Promise.all(results), ['first', 'second', 'third'])
  assert.equal(await pool.submit(read), undefined)
})

test('a posted task runs in no request, its failure goes to onError, and a handler that throws costs no slot', async () => {
  const seen: (string | undefined)[] = []
  const context = new AsyncLocalStorage<string>()
  const { pool, errors } = makePool()
  context.run('request', () => {
    assert.equal(
      pool.post(() => void seen.push(context.getStore())),
      true,
    )
    pool.post(async () => seen.push(context.getStore()))
    pool.post(() => Promise.reject(boom))
    pool.post(() => {
      throw boom
    })
  })
  await pool.drain()
  assert.deepEqual(
    [seen, errors],
    [
      [undefined, undefined],
      [boom, boom],
    ],
  )

  const { pool: careless } = makePool({
    onError: () => {
      throw boom
    },
  })
  careless.post(() => Promise.reject(boom))
  await careless.drain()
  assert.equal(await careless.submit(() => 1), 1)
})

test('the failure of a posted task is reported in no request, whoever filled the slot before it', async () => {
  const context = new AsyncLocalStorage<string>()
  const seen: (string | undefined)[] = []
  const { pool } = makePool({ onError: () => void seen.push(context.getStore()) })
  const first = gate()
  const result = context.run('request', () => pool.submit(first.run))
  pool.post(() => Promise.reject(boom))
  first.open()
  await result
  await pool.drain()
  assert.deepEqual(seen, [undefined])
})

test('without onError the failure of a posted task is a warning of the process', async () => {
  const warned = Promise.withResolvers<Error>()
  process.once('warning', warned.resolve)
  new WorkerPool({ name: 'uploads', workers: 1, maxWaiting: 0 }).post(() => Promise.reject(boom))
  assert.equal(await warned.promise, boom)
})

test('resize starts what waits, and takes slots back as they become free', async () => {
  const { pool } = makePool()
  const gates = [gate(), gate(), gate(), gate()]
  const results = gates.map(({ run }) => pool.submit(run))
  pool.resize(3)
  assert.deepEqual([pool.running, pool.waiting], [3, 1])
  pool.resize(1)
  assert.deepEqual([pool.running, pool.free], [3, 0])
  gates[0]!.open()
  gates[1]!.open()
  await Promise.all(results.slice(0, 2))
  assert.deepEqual([pool.running, pool.waiting], [1, 1])
  for (const { open } of gates) open()
  await Promise.all(results)
})

test('room lets a producer wait for a place', async () => {
  const { pool } = makePool({ maxWaiting: 1, maxBlocked: 1 })
  await pool.room()
  const [first, second] = [gate(), gate()]
  void pool.submit(first.run)
  void pool.submit(second.run)
  let woken = false
  const waiting = pool.room().then(() => (woken = true))
  await assert.rejects(pool.room(), { code: 'SLUICE_POOL_FULL' })
  await turn()
  assert.equal(woken, false)
  first.open()
  await waiting
  assert.equal(
    pool.post(() => {}),
    true,
  )

  const controller = new AbortController()
  const left = pool.room({ signal: controller.signal })
  controller.abort(boom)
  await assert.rejects(left, (error) => error === boom)
  const closing = pool.room()
  void pool.close()
  await assert.rejects(closing, { code: 'SLUICE_POOL_CLOSED' })
  second.open()
})

test('drain waits for what waits and runs, and may be left', async () => {
  const { pool } = makePool()
  await pool.drain()
  const first = gate()
  void pool.submit(first.run)
  const second = pool.submit(() => 2)
  const controller = new AbortController()
  const left = pool.drain({ signal: controller.signal })
  const drained = pool.drain()
  controller.abort(boom)
  await assert.rejects(left, (error) => error === boom)
  first.open()
  await drained
  assert.equal(second.status, 'fulfilled')
})

test('close rejects what waits at once, lets what runs finish, and takes nothing more', async () => {
  const { pool, clock, errors } = makePool()
  const first = gate()
  const running = pool.submit(first.run)
  const waiting = pool.submit(() => assert.fail('it must not run'))
  pool.post(() => assert.fail('it must not run'))
  const closing = pool.close({ timeout: '5s' })
  assert.equal(pool.close(), closing)
  await assert.rejects(waiting, {
    code: 'SLUICE_POOL_CLOSED',
    message: '"uploads" was closed: it takes no more tasks',
  })
  assert.deepEqual(
    errors.map((error) => error.message),
    ['"uploads" was closed: 1 posted tasks were not run'],
  )
  await assert.rejects(
    pool.submit(() => 1),
    { code: 'SLUICE_POOL_CLOSED' },
  )
  assert.equal(running.status, 'pending')
  first.open()
  await closing
  assert.equal(await running, 1)
  assert.equal(clock.pending, 0)
})

test('close that runs out of time aborts what runs, says how many, and frees the pool', async () => {
  const { pool, clock } = makePool({ workers: 2 })
  let signal: AbortSignal | undefined
  const running = pool.submit((call) => {
    signal = call.signal
    return new Promise(() => {})
  })
  pool.post((call) => new Promise((resolve) => call.signal.addEventListener('abort', resolve)))
  const closing = assert.rejects(pool.close({ timeout: '5s' }), {
    code: 'SLUICE_TIMEOUT',
    message: '"uploads: close" timed out after 5000 ms with 2 tasks running',
  })
  const ended = assert.rejects(running, { code: 'SLUICE_POOL_CLOSED' })
  await clock.advance(5_000)
  await Promise.all([closing, ended])
  assert.equal(signal?.aborted, true)
  assert.deepEqual([pool.running, clock.pending], [0, 0])
})

test('close with finishWaiting runs what waits, as far as its timeout allows', async () => {
  const { pool, clock } = makePool()
  const first = gate()
  const results = [
    pool.submit(first.run),
    pool.submit(() => 2),
    pool.submit(() => new Promise(() => {})),
    pool.submit(() => 4),
  ]
  const outcomes = Promise.allSettled(results)
  const closing = assert.rejects(pool.close({ timeout: '5s', finishWaiting: true }), {
    code: 'SLUICE_TIMEOUT',
  })
  first.open()
  await clock.advance(5_000)
  await closing
  assert.deepEqual(
    (await outcomes).map((outcome) => outcome.status),
    ['fulfilled', 'fulfilled', 'rejected', 'rejected'],
  )
})

test('a pool closes at the end of its scope; what does not stop is reported, not thrown', async () => {
  const { pool, clock, errors } = makePool()
  pool.submit(() => new Promise(() => {})).catch(() => {})
  const disposing = pool[Symbol.asyncDispose]()
  await clock.advance(10_000)
  await disposing
  assert.ok(hasCode(errors[0], 'SLUICE_TIMEOUT'))
})

test('waiting time is measured on a sample', async () => {
  const { pool, clock } = makePool()
  const first = gate()
  void pool.submit(first.run)
  const waiting = pool.submit(() => 1)
  await clock.advance(40)
  first.open()
  await waiting
  assert.deepEqual([pool.stats().waitSamples, pool.stats().waitTimeMs], [1, 40])
})

test('bad options are refused with the place, the value and what was expected', async () => {
  const table: [Partial<WorkerPoolOptions>, string][] = [
    [{ name: '' }, 'WorkerPool: name: expected a name, got ""'],
    [{ workers: 0 }, 'uploads: workers: expected a whole number of at least 1, got 0'],
    [{ workers: 1.5 }, 'uploads: workers: expected a whole number of at least 1, got 1.5'],
    [{ maxWaiting: -1 }, 'uploads: maxWaiting: expected a whole number of at least 0, got -1'],
    [{ maxWaiting: Infinity }, 'uploads: maxWaiting: expected a whole number of at least 0, got Infinity'],
    [{ maxBlocked: NaN }, 'uploads: maxBlocked: expected a whole number of at least 0, got NaN'],
    [
      { abandonAfter: 'soon' },
      `uploads: abandonAfter: expected milliseconds or a duration such as '5s', got "soon"`,
    ],
    [
      { overflow: 'drop' as 'reject' },
      'uploads: overflow: expected wait, reject, drop-oldest, drop-newest, conflate, got "drop"',
    ],
  ]
  for (const [options, message] of table)
    assert.throws(() => makePool(options), { code: 'SLUICE_INVALID_ARGUMENT', message })

  const { pool } = makePool()
  assert.throws(() => pool.resize(0), { code: 'SLUICE_INVALID_ARGUMENT' })
  assert.throws(() => pool.post('task' as unknown as () => void), { code: 'SLUICE_INVALID_ARGUMENT' })
  await assert.rejects(
    pool.submit(() => 1, { priority: 10 }),
    {
      code: 'SLUICE_INVALID_ARGUMENT',
      message: 'uploads: priority: expected a whole number from 0 to 9, got 10',
    },
  )
  await assert.rejects(
    pool.submit(() => 1, { timeout: 'soon' }),
    { code: 'SLUICE_INVALID_ARGUMENT' },
  )
  await assert.rejects(pool.submit('task' as unknown as () => void), { code: 'SLUICE_INVALID_ARGUMENT' })
  assert.throws(() => pool.close({ timeout: 'soon' }), { code: 'SLUICE_INVALID_ARGUMENT' })
  assert.equal(await pool.submit(() => 1), 1, 'and the pool still works')
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

test('a place that whoever was woken does not take goes to the next that waits for room', async () => {
  const { pool } = makePool({ workers: 1, maxWaiting: 0 })
  const task = Promise.withResolvers<void>()
  const running = pool.submit(() => task.promise)
  let later = 0
  const changesItsMind = pool.room()
  const second = pool.room().then(() => pool.submit(() => (later += 1)))
  const third = pool.room().then(() => pool.submit(() => (later += 1)))
  task.resolve()
  await Promise.all([running, changesItsMind, second, third])
  assert.equal(later, 2, 'one at a time, so that none is refused')
  await pool.close({ timeout: 1_000 })
})
