/** Programs of one subscription that read different topics, as while a deployment goes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event, type EventContext } from '../../src/events/index.ts'
import { aheadClock, anything, place, Seen, until, type Peer } from './support.ts'

const A = event('a.made', anything<{ n: number }>())
const B = event('b.made', anything<{ n: number }>())
const numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

const asText = ({ topic, data }: EventContext<{ n: number }>): string => `${topic} ${data.n}`

async function publishBoth({ events }: Peer): Promise<readonly string[]> {
  for (const n of numbers) {
    await events.publish(A, { n })
    await events.publish(B, { n })
  }
  return numbers.flatMap((n) => [`a.made ${n}`, `b.made ${n}`]).toSorted()
}

test('a topic that a newer program reads is not passed over by an older one that holds the shard', async () => {
  await using here = await place()
  const [older, newer, publisher] = [await here.peer(), await here.peer(), await here.peer()]
  const [byOlder, byNewer] = [new Seen<string>(), new Seen<string>()]
  const first = older.events.subscribe(A, 'search', (each) => byOlder.add(asText(each)))
  await first.ready()
  await publisher.events.publish(A, { n: -1 })
  await byOlder.atLeast(1)
  const second = newer.events.subscribe([A, B], 'search', (each) => byNewer.add(asText(each)))
  await second.ready()
  const all = await publishBoth(publisher)
  await byNewer.atLeast(all.length)
  assert.deepEqual(byNewer.all.filter((each) => each !== 'a.made -1').toSorted(), all)
  assert.deepEqual(byOlder.all, ['a.made -1'])
  await until(
    async () => [first.shards, second.shards],
    ([one, two]) => one === 0 && two === 1,
  )
})

test('an older program that starts beside a newer one takes nothing from it', async () => {
  await using here = await place()
  const [newer, older, publisher] = [await here.peer(), await here.peer(), await here.peer()]
  const [byNewer, byOlder] = [new Seen<string>(), new Seen<string>()]
  await newer.events.subscribe([B, A], 'search', (each) => byNewer.add(asText(each))).ready()
  const second = older.events.subscribe(A, 'search', (each) => byOlder.add(asText(each)))
  await second.ready()
  const all = await publishBoth(publisher)
  await byNewer.atLeast(all.length)
  assert.deepEqual(byNewer.all.toSorted(), all)
  assert.deepEqual(byOlder.all, [])
  assert.equal(second.shards, 0)
  const { subscriptions } = older.component.component.inspect() as {
    subscriptions: Record<string, { standsByFor: readonly string[] }>
  }
  assert.deepEqual(subscriptions['search']?.standsByFor, ['b.made'])
})

test('programs that read the same in another order share the work', async () => {
  await using here = await place()
  const peers = [await here.peer(), await here.peer()]
  const subscriptions = peers.map(({ events }, index) =>
    events.subscribe(index === 0 ? [A, B] : [B, A], 'search', () => {}, { shards: 2 }),
  )
  await until(
    async () => subscriptions.map(({ shards }) => shards),
    ([one, two]) => one === 1 && two === 1,
  )
})

test('events wait while each program knows only a part, and are delivered when one has gone for good', async () => {
  await using here = await place()
  const clock = aheadClock()
  const [left, publisher] = [await here.peer(), await here.peer()]
  const right = await here.peer({}, { clock })
  const [byLeft, byRight] = [new Seen<string>(), new Seen<string>()]
  const leaving = left.events.subscribe(A, 'search', (each) => byLeft.add(asText(each)))
  await leaving.ready()
  const staying = right.events.subscribe(B, 'search', (each) => byRight.add(asText(each)))
  await staying.ready()
  await publishBoth(publisher)
  await until(
    async () => leaving.shards + staying.shards,
    (held) => held === 0,
  )
  const [lag] = await publisher.events.lag()
  assert.deepEqual(lag?.patterns, ['a.made', 'b.made'])
  assert.equal(lag.events, 20)
  await leaving.stop()
  // It may come back: that it is gone is seen, and believed only after a while.
  await until(
    () =>
      right.db.query(
        `select from sluice.worker where dead_at is null and info -> 'events' -> 'events' ? 'search'`,
      ),
    (alive) => alive.length === 1,
  )
  await until(
    () => Promise.resolve((clock.ahead += 1_000)),
    () => staying.shards === 1,
  )
  assert.ok(clock.ahead > 20_000, `${clock.ahead} ms`)
  await byRight.atLeast(10)
  assert.deepEqual(
    byRight.all,
    numbers.map((n) => `b.made ${n}`),
  )
  assert.deepEqual([byLeft.all, (await publisher.events.lag())[0]?.patterns], [[], ['b.made']])
})

test('after a rollback the older program works again, at once where it starts alone', async () => {
  await using here = await place()
  const publisher = await here.peer()
  {
    await using newer = await here.peer()
    await newer.events.subscribe([A, B], 'search', () => {}).ready()
  }
  await publisher.events.publish(A, { n: 1 })
  await using older = await here.peer()
  const seen = new Seen<string>()
  older.events.subscribe(A, 'search', (each) => seen.add(asText(each)))
  await seen.atLeast(1)
  assert.deepEqual(seen.all, ['a.made 1'])
  assert.deepEqual((await publisher.events.lag())[0]?.patterns, ['a.made'])
})

test('a cursor is not moved by whoever read it before the subscription read more', async () => {
  await using here = await place()
  const [older, newer, publisher] = [await here.peer(), await here.peer(), await here.peer()]
  const begun = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  const seen = new Seen<string>()
  await older.events
    .subscribe(A, 'search', async () => {
      begun.resolve()
      await release.promise
    })
    .ready()
  await publisher.events.publish(A, { n: 0 })
  await begun.promise
  // The shard stays with the older one until its handler is done; its cursor counts no more by then.
  await newer.events.subscribe([A, B], 'search', (each) => seen.add(asText(each))).ready()
  await publisher.events.publish(B, { n: 1 })
  release.resolve()
  await seen.atLeast(2)
  assert.deepEqual(seen.all.toSorted(), ['a.made 0', 'b.made 1'])
})

for (const ordered of [undefined, 'key'] as const) {
  const how = ordered === undefined ? '' : ', in the order of a key'
  test(`a retry and a redrive of a topic that a program does not know are left to one that does${how}`, async () => {
    await using here = await place()
    const [newer, older] = [await here.peer(), await here.peer()]
    const [byNewer, byOlder] = [new Seen<string>(), new Seen<string>()]
    const options = { ordered, attempts: 6, backoff: { base: 1, max: 5 } } as const
    let isBroken = true
    await newer.events
      .subscribe(
        [A, B],
        'search',
        (each) => {
          if (isBroken && each.topic === 'b.made' && each.attempt < 7) throw new Error('not yet')
          byNewer.add(asText(each))
        },
        options,
      )
      .ready()
    await older.events.subscribe(A, 'search', (each) => byOlder.add(asText(each)), options).ready()
    for (const n of numbers) await newer.events.publish(B, { n }, { key: `k${n % 3}` })
    await until(
      () => older.events.deadLetters.list(),
      (list) => list.length === 10,
    )
    isBroken = false
    assert.deepEqual(await older.events.deadLetters.redrive(), { redriven: 10, stopped: false })
    await byNewer.atLeast(10)
    assert.deepEqual(
      byNewer.all.toSorted(),
      numbers.map((n) => `b.made ${n}`),
    )
    assert.deepEqual(byOlder.all, [])
  })

  test(`a delivery of a topic that is read no more is a dead letter that says so${how}`, async () => {
    await using here = await place()
    const publisher = await here.peer()
    const options = { ordered, attempts: 50, backoff: { base: 1, max: 5 } } as const
    {
      await using newer = await here.peer()
      const failing = new Seen<number>()
      await newer.events
        .subscribe(
          [A, B],
          'search',
          ({ attempt }) => {
            failing.add(attempt)
            throw new Error('not yet')
          },
          options,
        )
        .ready()
      await publisher.events.publish(B, { n: 1 }, { key: 'k' })
      await failing.atLeast(5)
    }
    await using older = await here.peer()
    const seen = new Seen<string>()
    older.events.subscribe(A, 'search', (each) => seen.add(asText(each)), options)
    const [dead] = await until(
      () => older.events.deadLetters.list(),
      (list) => list.length === 1,
    )
    assert.match(dead?.why ?? '', /does not read "b\.made" any more/)
    assert.deepEqual(dead?.data, { n: 1 })
    assert.deepEqual(seen.all, [])
  })
}

test('a retry that was taken before it is known that others read its topic is given back, unharmed', async () => {
  await using here = await place()
  // It looks at the subscription only when it is told to.
  const older = await here.peer({ pollInterval: '1h' })
  const seen = new Seen<string>()
  await older.events
    .subscribe(
      A,
      'search',
      (each) => {
        seen.add(asText(each))
        if (each.data.n === 1) throw new Error('not yet')
      },
      { from: 'beginning', backoff: { base: 1, max: 5 } },
    )
    .ready()
  await older.events.publish(A, { n: 0 })
  await seen.atLeast(1)
  await older.db.execute(`update sluice.sub set patterns = '{a.made,b.made}'`)
  await older.db.execute(
    `insert into sluice.task (queue, name, body, head) select queue, 'b.made', '{}', '{"id":"1","version":1,"at":0}' from sluice.sub`,
  )
  await older.events.publish(A, { n: 1 })
  // Its retry makes the process look at the tasks of the subscription.
  await seen.atLeast(4)
  const [task] = await until(
    () =>
      older.db.query<{ attempt: number; later: boolean }>(
        `select attempt, run_at > made + interval '1 second' as later from sluice.task where name = 'b.made' and owner is null`,
      ),
    ([each]) => each?.later === true,
  )
  assert.equal(task?.attempt, 0)
  assert.deepEqual(new Set(seen.all), new Set(['a.made 0', 'a.made 1']))
})
