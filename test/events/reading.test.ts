/** Patterns, versions, delay and priority, replay, pause, lag. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
const from = 'beginning'

test('a pattern sees topics that are made later, from their first event on', async () => {
  await using here = await place()
  const [reader, writer] = [await here.peer(), await here.peer()]
  const [words, all, one] = [new Seen<string>(), new Seen<string>(), new Seen<string>()]
  const record =
    (seen: Seen<string>) =>
    ({ topic }: { topic: string }) =>
      seen.add(topic)
  await reader.events.subscribe('post.*', 'words', record(words)).ready()
  await reader.events.subscribe('#', 'all', record(all)).ready()
  await reader.events.subscribe('*.made.#', 'one', record(one)).ready()
  const topics = Array.from({ length: 20 }, (_, n) => [`post.t${n}`, `post.made.t${n}`, `x${n}.made`]).flat()
  // Each of them is new when its first event is published.
  await Promise.all(topics.map((topic) => writer.events.publish(event(topic, anything()), {})))
  await all.atLeast(60)
  await words.atLeast(20)
  await one.atLeast(40)
  assert.deepEqual(all.all.toSorted(), topics.toSorted())
  assert.deepEqual(words.all.toSorted(), topics.filter((topic) => /^post\.t\d+$/.test(topic)).toSorted())
  assert.deepEqual(one.all.toSorted(), topics.filter((topic) => topic.includes('made')).toSorted())
})

test('older events are made into the version that the reader knows', async () => {
  await using here = await place()
  const peer = await here.peer()
  const seen = new Seen<unknown>()
  const V1 = event('user.named', anything<{ name: string }>())
  const V3 = event('user.named', anything<{ first: string; last: string; full: string }>(), {
    version: 3,
    upcast: {
      1: ({ name }: { name: string }) => ({ first: name.split(' ')[0], last: name.split(' ')[1] }),
      2: (old: { first: string; last: string }) => ({ ...old, full: `${old.first} ${old.last}` }),
    },
  })
  peer.events.subscribe(V3, 'reader', ({ data }) => seen.add(data), { from, concurrency: 1 })
  await peer.events.publish(V1, { name: 'Ada Lovelace' })
  await peer.events.publish(V3, { first: 'Alan', last: 'Turing', full: 'Alan Turing' })
  await seen.atLeast(2)
  assert.deepEqual(seen.all, [
    { first: 'Ada', last: 'Lovelace', full: 'Ada Lovelace' },
    { first: 'Alan', last: 'Turing', full: 'Alan Turing' },
  ])
})

test('key, headers and stamp reach the handler; what handlers share is frozen', async () => {
  await using here = await place()
  const peer = await here.peer()
  const [seen, frozen] = [new Seen<unknown[]>(), new Seen<boolean>()]
  const Nested = event('nested', anything<{ list: { n: number }[] }>())
  peer.events.subscribe(
    Nested,
    'reader',
    ({ id, key, headers, publishedAt, topic, data }) => {
      frozen.add(Object.isFrozen(data) && Object.isFrozen(data.list[0]))
      seen.add([id, key, headers, publishedAt instanceof Date, topic])
    },
    { from },
  )
  const { id } = await peer.events.publish(
    Nested,
    { list: [{ n: 1 }] },
    { key: 'ü', headers: { tenant: 'a' } },
  )
  await seen.atLeast(1)
  assert.deepEqual(seen.all, [[id, 'ü', { tenant: 'a' }, true, 'nested']])
  assert.deepEqual(frozen.all, [true])
})

test('a delayed event is published when it is due, not before, and once', async () => {
  await using here = await place()
  const [a, b] = [await here.peer(), await here.peer()]
  const seen = new Seen<[number, number]>()
  const started = performance.now()
  await a.events
    .subscribe(Created, 'reader', ({ data }) => seen.add([data.n, performance.now() - started]))
    .ready()
  const first = await b.events.publish(Created, { n: 1 }, { delay: 300 })
  assert.equal(first.scheduled, true)
  await b.db.transaction(async (tx) => {
    await b.events.publish(Created, { n: 2 }, { delay: 100, tx })
  })
  const undone = b.db.transaction(async (tx) => {
    await b.events.publish(Created, { n: 3 }, { delay: 1, tx })
    throw new Error('undo')
  })
  await assert.rejects(undone)
  await b.events.publish(Created, { n: 0 })
  await seen.atLeast(3)
  const at = new Map(seen.all)
  assert.deepEqual(
    [...at.keys()].toSorted((x, y) => x - y),
    [0, 1, 2],
  )
  assert.equal(seen.all.length, 3)
  assert.ok((at.get(1) ?? 0) >= 300)
  assert.ok((at.get(2) ?? 0) >= 100)
  const [left] = await a.db.query<{ n: number }>('select count(*)::int as n from sluice.task')
  assert.equal(left?.n, 0)
})

test('of events with a priority that wait the most urgent is published first', async () => {
  await using here = await place()
  const peer = await here.peer()
  const seen = new Seen<number>()
  await peer.events
    .subscribe(Created, 'reader', ({ data }) => seen.add(data.n), { from, concurrency: 1 })
    .ready()
  const items = [9, 0, 5, 3, 7].map((n) => ({ data: { n }, priority: n }))
  // They are due in one transaction, so that all of them wait when the first is taken.
  await peer.events.publishMany(Created, items)
  await seen.atLeast(5)
  assert.deepEqual(seen.all, [0, 3, 5, 7, 9])
})

test('a replay hands events of the past out again, with their ids, beside what is live', async () => {
  await using here = await place()
  const [a, b] = [await here.peer(), await here.peer()]
  const [live, again] = [new Seen<string>(), new Seen<string>()]
  const handler = ({ id, replay }: { id: string; replay: string | undefined }): void =>
    replay === undefined ? live.add(id) : again.add(id)
  await a.events.subscribe(Created, 'reader', handler, { from }).ready()
  await b.events.subscribe(Created, 'reader', handler, { from }).ready()
  const old = await a.events.publishMany(
    Created,
    Array.from({ length: 50 }, (_, n) => ({ data: { n } })),
  )
  await live.atLeast(50)
  const middle = old[20]!.id
  const replay = await b.events.replay('reader', { from: middle, rate: 100_000, by: 'ada' })
  assert.equal(replay.state, 'running')
  await a.events.publish(Created, { n: 50 })
  await live.atLeast(51)
  await again.atLeast(30)
  const done = await until(
    () => a.events.replays('reader'),
    ([each]) => each?.state === 'done',
  )
  assert.equal(done[0]?.delivered, 30)
  assert.equal(done[0]?.by, 'ada')
  assert.deepEqual(
    again.all.toSorted((x, y) => Number(x) - Number(y)),
    old.slice(20).map(({ id }) => id),
  )
  assert.equal(live.all.length, 51)
  const whole = await a.events.replay('reader', { from: 'beginning', rate: 100_000 })
  await until(
    () => a.events.replays('reader'),
    (all) => all.some(({ id, state }) => id === whole.id && state === 'done'),
  )
  assert.equal(again.all.length, 30 + 51)
})

test('a replay from a time hands out what was published at that time or later', async () => {
  await using here = await place()
  const peer = await here.peer()
  const [live, again] = [new Seen<Date>(), new Seen<number>()]
  await peer.events
    .subscribe(
      Created,
      'reader',
      ({ data, replay, publishedAt }) => (replay === undefined ? live.add(publishedAt) : again.add(data.n)),
      { from },
    )
    .ready()
  for (let n = 0; n < 6; n++) {
    await peer.events.publish(Created, { n })
    await live.atLeast(n + 1)
  }
  const { id } = await peer.events.replay('reader', { from: live.all[3]!, rate: 100_000 })
  await until(
    () => peer.events.replays(),
    (all) => all.some((each) => each.id === id && each.state === 'done'),
  )
  // The stamp of an event is finer than a Date: one of the same millisecond may come along.
  assert.deepEqual(again.all.slice(-3), [3, 4, 5])
  assert.ok(again.all.length <= 4, String(again.all))
  await assert.rejects(peer.events.replay('reader', { from: new Date(Number.NaN) }), {
    code: 'SLUICE_INVALID_ARGUMENT',
  })
  await assert.rejects(peer.events.replay('nobody', { from: 'beginning' }), {
    code: 'SLUICE_INVALID_ARGUMENT',
  })
})

test('a replay is as slow as asked for, and ends when it is cancelled', async () => {
  await using here = await place()
  const peer = await here.peer()
  const [live, again] = [new Seen<string>(), new Seen<string>()]
  await peer.events
    .subscribe(Created, 'reader', ({ id, replay }) => (replay === undefined ? live : again).add(id), { from })
    .ready()
  await peer.events.publishMany(
    Created,
    Array.from({ length: 1_000 }, (_, n) => ({ data: { n } })),
  )
  await live.atLeast(1_000)
  const { id } = await peer.events.replay('reader', { from: new Date(0), rate: 50 })
  await again.atLeast(5)
  assert.equal(await peer.events.cancelReplay(id), true)
  const [info] = await peer.events.replays()
  assert.equal(info?.state, 'cancelled')
  assert.equal(await peer.events.cancelReplay(id), false)
  // What is published now is delivered, and the thousand are not.
  await peer.events.publish(Created, { n: 1_000 })
  await live.atLeast(1_001)
  assert.ok(again.all.length < 1_000)
})

test('a paused subscription is handed nothing, in no process, until it is resumed', async () => {
  await using here = await place()
  const [a, b] = [await here.peer(), await here.peer()]
  const [seen, other] = [new Seen<number>(), new Seen<number>()]
  const subscription = a.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n), { from })
  await subscription.ready()
  b.events.subscribe(Created, 'other', ({ data }) => other.add(data.n), { from })
  await a.events.publish(Created, { n: 1 })
  await seen.atLeast(1)
  await b.events.pause('reader', 'maintenance')
  await until(
    () => Promise.resolve(a.component.component.inspect()),
    (facts) => JSON.stringify(facts).includes('"paused":true'),
  )
  await b.events.publishMany(Created, [{ data: { n: 2 } }, { data: { n: 3 } }])
  await other.atLeast(3)
  const lag = await b.events.lag()
  const reader = lag.find(({ name }) => name === 'reader')
  assert.equal(reader?.events, 2)
  assert.ok(reader.oldestMs > 0)
  assert.equal(reader.paused, true)
  assert.equal(reader.pausedWhy, 'maintenance')
  assert.deepEqual(seen.all, [1])
  await b.events.resume('reader')
  await seen.atLeast(3)
  assert.deepEqual(
    seen.all.toSorted((x, y) => x - y),
    [1, 2, 3],
  )
  const caughtUp = await until(
    () => b.events.lag(),
    (all) => all.every(({ events }) => events === 0),
  )
  assert.deepEqual(
    caughtUp.map(({ name }) => name),
    ['other', 'reader'],
  )
  assert.deepEqual(
    (await b.events.topics()).map(({ name }) => name),
    ['todo.created'],
  )
  await assert.rejects(b.events.pause('nobody'), { code: 'SLUICE_INVALID_ARGUMENT' })
})

test('once is true for the first delivery of an event, and its row commits with the effect', async () => {
  await using here = await place()
  const peer = await here.peer()
  const { db, events } = peer
  const undone = db.transaction(async (tx) => {
    assert.equal(await events.once(tx, 'mailer', '42'), true)
    throw new Error('undo')
  })
  await assert.rejects(undone, /undo/)
  const ask = (): Promise<boolean> => db.transaction((tx) => events.once(tx, 'mailer', '42')).wait()
  const answers = await Promise.all(Array.from({ length: 5 }, ask))
  assert.equal(answers.filter((first) => first).length, 1)
  assert.equal(await db.transaction((tx) => events.once(tx, 'other', '42')), true)
})
