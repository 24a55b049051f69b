/** Deliveries that fail: retried without holding up the others, in order where that was asked for, dead in the end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import type { StandardSchema } from '../../src/core/standard-schema.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number; key?: string }>())
const quick = { from: 'beginning', backoff: { base: 1, max: 5 } } as const

test('an event that fails is tried again while those behind it go on', async () => {
  await using here = await place()
  const peer = await here.peer()
  const [done, tried] = [new Seen<number>(), new Seen<number>()]
  peer.events.subscribe(
    Created,
    'reader',
    ({ data, attempt }) => {
      if (data.n === 1) tried.add(attempt)
      if (data.n === 1 && attempt < 5) throw new Error('not yet')
      done.add(data.n)
    },
    { ...quick, concurrency: 1 },
  )
  await peer.events.publishMany(
    Created,
    [1, 2, 3].map((n) => ({ data: { n } })),
  )
  await done.atLeast(3)
  assert.deepEqual(tried.all, [1, 2, 3, 4, 5])
  assert.equal(done.all.at(-1), 1)
})

test('no delivery is made beyond the attempts', async () => {
  await using here = await place()
  const peer = await here.peer()
  const tried = new Map([1, 2, 3, 4].map((attempts) => [attempts, [] as number[]]))
  for (const [attempts, seen] of tried) {
    peer.events.subscribe(
      Created,
      `reader${attempts}`,
      ({ attempt }) => {
        seen.push(attempt)
        throw new Error('never')
      },
      { ...quick, attempts },
    )
  }
  await peer.events.publish(Created, { n: 1 })
  await until(
    () => peer.events.deadLetters.list(),
    (list) => list.length === 4,
  )
  assert.deepEqual([...tried.values()], [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]])
})

test('an event that uses up its attempts is a dead letter with its data and errors, and can be redriven or dropped', async () => {
  await using here = await place()
  const peer = await here.peer()
  let isBroken = true
  const done = new Seen<number>()
  peer.events.subscribe(
    Created,
    'reader',
    ({ data }) => {
      if (isBroken) throw new Error(`broken for ${data.n}`)
      done.add(data.n)
    },
    { ...quick, attempts: 4 },
  )
  const [{ id } = { id: '' }] = await peer.events.publishMany(Created, [
    { data: { n: 1 }, key: 'k' },
    { data: { n: 2 } },
  ])
  const dead = await until(
    () => peer.events.deadLetters.list(),
    (list) => list.length === 2,
  )
  const first = dead.find(({ eventId }) => eventId === id)
  assert.ok(first)
  assert.equal(first.subscription, 'reader')
  assert.equal(first.topic, 'todo.created')
  assert.equal(first.key, 'k')
  assert.deepEqual(first.data, { n: 1 })
  assert.equal(first.attempt, 4)
  assert.equal(first.why, 'Error: broken for 1')
  assert.deepEqual(
    first.errors.map(({ attempt }) => attempt),
    [1, 2, 3, 4],
  )
  assert.deepEqual(await peer.events.deadLetters.get(first.id), first)
  isBroken = false
  const answer = await peer.events.deadLetters.redrive({ ids: [first.id] })
  assert.deepEqual(answer, { redriven: 1, stopped: false })
  await done.atLeast(1)
  assert.deepEqual(done.all, [1])
  assert.equal(await peer.events.deadLetters.drop({ subscription: 'reader' }), 1)
  assert.deepEqual(await peer.events.deadLetters.list(), [])
})

for (const ordered of [undefined, 'key'] as const) {
  const how = ordered === undefined ? '' : ' in the order of a key'
  test(`a redrive${how} stops when most of its canaries fail again, and goes on when they do not`, async () => {
    await using here = await place()
    const peer = await here.peer()
    let isBroken = true
    const done = new Seen<number>()
    peer.events.subscribe(
      Created,
      'reader',
      ({ data }) => {
        if (isBroken) throw new Error('broken')
        done.add(data.n)
      },
      { ...quick, ordered, attempts: 2 },
    )
    const numbers = Array.from({ length: 9 }, (_, n) => n)
    await peer.events.publishMany(
      Created,
      numbers.map((n) => ({ data: { n }, key: `k${n % 3}` })),
    )
    const letters = (): PromiseLike<readonly unknown[]> => peer.events.deadLetters.list()
    await until(letters, (list) => list.length === 9)
    const failed = await peer.events.deadLetters.redrive({ canary: 3 })
    assert.deepEqual(failed, { redriven: 3, stopped: true })
    await until(letters, (list) => list.length === 9)
    isBroken = false
    const all = await peer.events.deadLetters.redrive({ canary: 3 })
    assert.deepEqual(all, { redriven: 9, stopped: false })
    await done.atLeast(9)
    assert.deepEqual(
      done.all.toSorted((a, b) => a - b),
      numbers,
    )
    assert.deepEqual(await letters(), [])
  })
}

test('with an order by key a key that fails holds up only itself, and its events come in order', async () => {
  await using here = await place()
  const peer = await here.peer()
  const byKey = new Map<string, number[]>()
  const all = new Seen<number>()
  let failures = 12
  await peer.events
    .subscribe(
      Created,
      'reader',
      ({ data, key = '' }) => {
        if (key === 'bad' && failures-- > 0) throw new Error('bad key')
        byKey.set(key, [...(byKey.get(key) ?? []), data.n])
        all.add(data.n)
      },
      { ...quick, ordered: 'key', attempts: 50 },
    )
    .ready()
  const keys = ['bad', ...Array.from({ length: 9 }, (_, n) => `good${n}`)]
  for (let round = 0; round < 20; round++) {
    await peer.events.publishMany(
      Created,
      keys.map((key) => ({ key, data: { n: round } })),
    )
  }
  await all.atLeast(200)
  const inOrder = Array.from({ length: 20 }, (_, n) => n)
  for (const key of keys) assert.deepEqual(byKey.get(key), inOrder, key)
  const [lag] = await until(
    () => peer.events.lag(),
    ([each]) => each?.parkedKeys === 0 && each.retrying === 0,
  )
  assert.equal(lag?.dead, 0)
})

test('with an order by key a dead letter lets the events behind it go on, in order', async () => {
  await using here = await place()
  const peer = await here.peer()
  const done = new Seen<number>()
  await peer.events
    .subscribe(
      Created,
      'reader',
      ({ data }) => {
        if (data.n === 3) throw new Error('never')
        done.add(data.n)
      },
      { ...quick, ordered: 'key', attempts: 5 },
    )
    .ready()
  await peer.events.publishMany(
    Created,
    [1, 2, 3, 4, 5, 6].map((n) => ({ key: 'k', data: { n } })),
  )
  await done.atLeast(5)
  assert.deepEqual(done.all, [1, 2, 4, 5, 6])
  const [dead] = await until(
    () => peer.events.deadLetters.list(),
    (list) => list.length === 1,
  )
  assert.deepEqual(dead?.data, { n: 3 })
})

test('a batch handler fails single events; the others are done', async () => {
  await using here = await place()
  const peer = await here.peer()
  const done = new Seen<number>()
  const failed = new Map<number, number>()
  peer.events.subscribe(
    Created,
    'reader',
    ({ events, fail }) => {
      for (const { id, data } of events) {
        const times = failed.get(data.n) ?? 0
        if (data.n % 10 === 0 && times < 4) {
          failed.set(data.n, times + 1)
          fail(id, new Error('odd one'))
        } else done.add(data.n)
      }
    },
    { ...quick, batch: 50 },
  )
  await peer.events.publishMany(
    Created,
    Array.from({ length: 100 }, (_, n) => ({ data: { n } })),
  )
  await done.atLeast(100)
  assert.deepEqual(
    done.all.toSorted((x, y) => x - y),
    Array.from({ length: 100 }, (_, n) => n),
  )
})

test('what a handler does through tx commits once, however often it failed before', async () => {
  await using here = await place()
  const peer = await here.peer()
  await peer.db.query('create table effects (n int primary key, attempt int not null)')
  const done = new Seen<number>()
  peer.events.subscribe(
    Created,
    'reader',
    async ({ data, tx, attempt }) => {
      await tx.execute('insert into effects values ($1, $2)', [data.n, attempt])
      if (data.n % 3 === 0 && attempt <= data.n % 5) throw new Error('after the effect')
      done.add(data.n)
    },
    { ...quick, transaction: true },
  )
  await peer.events.publishMany(
    Created,
    Array.from({ length: 30 }, (_, n) => ({ data: { n } })),
  )
  await done.atLeast(30)
  const rows = await until(
    () => peer.db.query<{ n: number; attempt: number }>('select n, attempt from effects order by n'),
    (all) => all.length === 30,
  )
  assert.deepEqual(
    rows.map(({ n }) => n),
    Array.from({ length: 30 }, (_, n) => n),
  )
  assert.deepEqual(rows.filter(({ n }) => n % 3 === 0).map(({ attempt }) => attempt), [0, 3, 6, 9, 12, 15, 18, 21, 24, 27].map((n) => (n % 5) + 1)) // prettier-ignore
})

test("with onFail: 'stop' a subscription stays in front of what fails, and goes on when it succeeds", async () => {
  await using here = await place()
  const peer = await here.peer()
  const [done, tried] = [new Seen<number>(), new Seen<number>()]
  let isBroken = true
  peer.events.subscribe(
    Created,
    'reader',
    ({ data, attempt }) => {
      tried.add(attempt)
      if (isBroken) throw new Error('the broker is gone')
      done.add(data.n)
    },
    { ...quick, onFail: 'stop', concurrency: 1, attempts: 3 },
  )
  await peer.events.publishMany(Created, [{ data: { n: 1 } }, { data: { n: 2 } }])
  await tried.atLeast(10)
  assert.deepEqual(done.all, [])
  isBroken = false
  await done.atLeast(2)
  assert.deepEqual(done.all, [1, 2])
})

test('data that does not fit the schema of its reader is a dead letter without further attempts', async () => {
  await using here = await place()
  const peer = await here.peer()
  const numbers: StandardSchema<{ n: number }> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) => {
        const { n } = value as { n: unknown }
        return typeof n === 'number' ? { value: { n } } : { issues: [{ message: 'no number', path: ['n'] }] }
      },
    },
  }
  const done = new Seen<number>()
  peer.events.subscribe(event('todo.created', numbers), 'strict', ({ data }) => done.add(data.n), quick)
  await peer.events.publish(event('todo.created', anything<object>()), { n: 'one' })
  await peer.events.publish(Created, { n: 2 })
  await done.atLeast(1)
  const [dead] = await until(
    () => peer.events.deadLetters.list(),
    (list) => list.length === 1,
  )
  assert.match(dead?.why ?? '', /n: no number/)
  assert.deepEqual(dead?.data, { n: 'one' })
  assert.deepEqual(done.all, [2])
})

test('a handler that never settles fails at its timeout, and its signal aborts', async () => {
  await using here = await place()
  const peer = await here.peer()
  const [aborted, done] = [new Seen<number>(), new Seen<number>()]
  peer.events.subscribe(
    Created,
    'reader',
    ({ data, signal, attempt }) => {
      if (attempt > 1) return done.add(data.n)
      signal.addEventListener('abort', () => aborted.add(data.n))
      return new Promise(() => {})
    },
    { ...quick, timeout: 50 },
  )
  await peer.events.publish(Created, { n: 1 })
  await done.atLeast(1)
  assert.deepEqual(aborted.all, [1])
})
