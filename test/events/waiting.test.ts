/** What a subscription is stuck on: deliveries that wait for another attempt, and shards in front of an event. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
/** Nothing that waits is tried again by itself before the test ends. */
const patient = { random: () => 0.9 }
const far = { from: 'beginning', backoff: { base: '1h', max: '1h' }, concurrency: 1 } as const

test('a delivery that waits shows its data and the error of each attempt, and is tried at once when asked', async () => {
  await using here = await place()
  const peer = await here.peer({}, patient)
  let isBroken = true
  const done = new Seen<number>()
  const reader = peer.events.subscribe(
    Created,
    'reader',
    ({ data, attempt }) => {
      if (isBroken) throw new Error(`broken ${attempt}`)
      done.add(data.n)
    },
    far,
  )
  await reader.ready()
  const { id: eventId } = await peer.events.publish(Created, { n: 7 }, { key: 'k' })
  const [first] = await until(
    () => peer.events.waiting.list({ subscription: 'reader', state: 'waiting' }),
    (list) => list.length > 0,
  )
  assert.ok(first)
  const { id, dueAt, publishedAt, errors, ...rest } = first
  assert.deepEqual(rest, {
    eventId,
    subscription: 'reader',
    topic: 'todo.created',
    key: 'k',
    data: { n: 7 },
    state: 'waiting',
    attempt: 3,
    maxAttempts: 8,
    traceId: undefined,
  })
  assert.ok(dueAt > publishedAt)
  assert.deepEqual(
    errors.map(({ attempt, error }) => `${attempt}: ${error}`),
    ['1: Error: broken 1', '2: Error: broken 2', '3: Error: broken 3'],
  )
  assert.deepEqual(await peer.events.waiting.get(id), first)
  assert.deepEqual(await peer.events.waiting.list({ after: id }), [])
  assert.deepEqual(await peer.events.waiting.list({ subscription: 'other' }), [])
  assert.equal(await peer.events.waiting.retry({ subscription: 'other' }), 0)
  isBroken = false
  assert.equal(await peer.events.waiting.retry({ ids: [id] }), 1)
  await done.atLeast(1)
  await until(
    () => peer.events.waiting.get(id),
    (found) => found === undefined,
  )
})

test('those behind one of their key say so, and follow it when it is tried again', async () => {
  await using here = await place()
  const peer = await here.peer({}, patient)
  let isBroken = true
  const done = new Seen<number>()
  peer.events.subscribe(
    Created,
    'reader',
    ({ data }) => {
      if (isBroken && data.n === 1) throw new Error('broken')
      done.add(data.n)
    },
    { ...far, ordered: 'key' },
  )
  await peer.events.publishMany(
    Created,
    [1, 2, 3].map((n) => ({ data: { n }, key: 'k' })),
  )
  await peer.events.publish(Created, { n: 4 }, { key: 'other' })
  await done.atLeast(1)
  const waiting = await until(
    () => peer.events.waiting.list(),
    (list) => list.length === 3,
  )
  assert.deepEqual(
    waiting.map(({ data, state, attempt }) => [(data as { n: number }).n, state, attempt]),
    [
      [1, 'waiting', 3],
      [2, 'behind', 0],
      [3, 'behind', 0],
    ],
  )
  const behind = waiting.filter(({ state }) => state === 'behind').map(({ id }) => id)
  assert.equal(await peer.events.waiting.retry({ ids: behind }), 0)
  isBroken = false
  assert.equal(await peer.events.waiting.retry({ subscription: 'reader' }), 1)
  await done.atLeast(4)
  assert.deepEqual(done.all, [4, 1, 2, 3])
})

test('a shard that stands in front of an event tells which one and why, until it goes on', async () => {
  await using here = await place()
  const [peer, looker] = [await here.peer({ pollInterval: 100 }), await here.peer()]
  let isBroken = true
  const done = new Seen<number>()
  peer.events.subscribe(
    Created,
    'reader',
    ({ data }) => {
      if (isBroken) throw new Error('the other side is away')
      done.add(data.n)
    },
    { from: 'beginning', onFail: 'stop', backoff: { base: 1, max: 20 }, concurrency: 1 },
  )
  const { id } = await peer.events.publish(Created, { n: 1 }, { key: 'k' })
  const [stand] = await until(
    () => looker.events.waiting.standing('reader'),
    (list) => list.length > 0,
  )
  assert.ok(stand)
  const { attempt, since, process: who, ...rest } = stand
  assert.deepEqual(rest, {
    subscription: 'reader',
    shard: 0,
    topic: 'todo.created',
    eventId: id,
    key: 'k',
    error: 'Error: the other side is away',
  })
  assert.ok(attempt >= 3)
  assert.ok(who.includes(`:${process.pid}`))
  assert.ok(!Number.isNaN(since.getTime()))
  assert.deepEqual(await looker.events.waiting.standing('other'), [])
  isBroken = false
  await done.atLeast(1)
  await until(
    () => looker.events.waiting.standing(),
    (list) => list.length === 0,
  )
})

test('what is asked wrongly of deliveries that wait is refused', async () => {
  await using here = await place()
  const { events } = await here.peer()
  const refused = { code: 'SLUICE_INVALID_ARGUMENT' }
  await assert.rejects(events.waiting.retry({}), refused)
  await assert.rejects(events.waiting.list({ limit: 0 }), refused)
  await assert.rejects(events.waiting.list({ state: 'dead' as never }), refused)
  await assert.rejects(events.waiting.list({ after: 'x' }), refused)
  await assert.rejects(events.waiting.get("1'"), refused)
})
