/** What handlers throw is kept as text that the database takes, whatever it says. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SluiceError } from '../../src/core/errors.ts'
import { event } from '../../src/events/index.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
const quick = { from: 'beginning', backoff: { base: 1, max: 5 } } as const

const unstorable = { NUL: 'a\0b', 'half a surrogate': 'a\ud800b' }
const SHOWN = 'Error: a\ufffdb'

const items = (count: number, keys = count): { data: { n: number }; key: string }[] =>
  Array.from({ length: count }, (_, n) => ({ data: { n }, key: `k${n % keys}` }))

for (const [what, message] of Object.entries(unstorable)) {
  for (const attempts of [1, 2, 6]) {
    for (const ordered of [undefined, 'key'] as const) {
      const how = `${attempts} attempts${ordered === undefined ? '' : ', in the order of keys'}`
      test(`an error with ${what} in its message ends its own event alone: ${how}`, async () => {
        await using here = await place()
        const peer = await here.peer()
        const done = new Seen<number>()
        const others = new Map<number, number>()
        peer.events.subscribe(
          Created,
          'reader',
          ({ data, attempt }) => {
            // The last one is told of by the task, where there is one.
            if (data.n === 0) throw new Error(attempt === attempts ? message : 'plain')
            others.set(data.n, (others.get(data.n) ?? 0) + 1)
            if (data.n % 7 === 1 && attempt < attempts) throw new Error('not yet')
            done.add(data.n)
          },
          { ...quick, attempts, ordered, concurrency: 4 },
        )
        await peer.events.publishMany(Created, items(40, 20))
        await done.atLeast(39)
        const [dead, ...more] = await until(
          () => peer.events.deadLetters.list(),
          (list) => list.length > 0,
        )
        assert.deepEqual(more, [])
        assert.deepEqual(dead?.data, { n: 0 })
        assert.equal(dead.attempt, attempts)
        assert.equal(dead.why, SHOWN)
        assert.equal(dead.errors.at(-1)?.error, SHOWN)
        // None is delivered once more because what became of it was not written.
        for (const [n, times] of others) assert.equal(times, n % 7 === 1 ? attempts : 1, `event ${n}`)
        await until(
          () => peer.events.lag(),
          ([lag]) => lag?.events === 0 && lag.retrying === 0,
        )
      })
    }
  }

  test(`a shard that stands in front of an event tells so though the error has ${what} in it`, async () => {
    await using here = await place()
    const peer = await here.peer({ pollInterval: 100 })
    const fail = (): never => {
      throw new Error(message)
    }
    peer.events.subscribe(Created, 'reader', fail, { ...quick, onFail: 'stop' })
    await peer.events.publish(Created, { n: 1 })
    const [stand] = await until(
      () => peer.events.waiting.standing(),
      (list) => list.length > 0,
    )
    assert.equal(stand?.error, SHOWN)
  })
}

test('errors are kept with code and causes, and without credentials', async () => {
  await using here = await place()
  const peer = await here.peer()
  const fail = (): never => {
    throw new SluiceError('SLUICE_UNAVAILABLE', 'postgres://ada:hunter2@db/x is away', {
      cause: new Error('refused, password=hunter2'),
    })
  }
  peer.events.subscribe(Created, 'reader', fail, { ...quick, attempts: 2 })
  await peer.events.publish(Created, { n: 1 })
  const [dead] = await until(
    () => peer.events.deadLetters.list(),
    (list) => list.length > 0,
  )
  for (const text of [dead?.why ?? '', ...(dead?.errors ?? []).map(({ error }) => error)]) {
    assert.match(text, /^SLUICE_UNAVAILABLE: .* is away\ncaused by Error: refused, /)
    assert.doesNotMatch(text, /hunter2/)
  }
})

test('of errors of a megabyte the beginning is kept, and a batch that fails with one ends', async () => {
  await using here = await place()
  const peer = await here.peer()
  const fail = (): never => {
    throw new Error('x'.repeat(1_000_000))
  }
  peer.events.subscribe(Created, 'reader', fail, { ...quick, batch: 400, attempts: 3 })
  await peer.events.publishMany(Created, items(400))
  const letters = await until(
    () => peer.events.deadLetters.list({ limit: 1_000 }),
    (list) => list.length === 400,
  )
  for (const { why } of letters) assert.equal(why.length, 2_000)
})

test('a batch handler that fails an event it was not given is told so, and the batch fails', async () => {
  await using here = await place()
  const peer = await here.peer()
  const codes = new Seen<unknown>()
  const done = new Seen<number>()
  peer.events.subscribe(
    Created,
    'reader',
    ({ events, fail }) => {
      const [first] = events
      if (first === undefined) return
      if (first.attempt > 1) {
        for (const { data } of events) done.add(data.n)
        return
      }
      try {
        fail(Number(first.id) as never, new Error('odd one'))
      } catch (error) {
        codes.add(error)
        throw error
      }
    },
    { ...quick, batch: 50 },
  )
  await peer.events.publishMany(Created, items(3))
  await done.atLeast(3)
  assert.deepEqual(
    done.all.toSorted((a, b) => a - b),
    [0, 1, 2],
  )
  const [error] = codes.all
  assert.ok(error instanceof SluiceError)
  assert.equal(error.code, 'SLUICE_INVALID_ARGUMENT')
  assert.match(
    error.message,
    /subscription "reader": fail: expected the id of an event of this batch, got \d+/,
  )
})
