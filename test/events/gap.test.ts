/** Sequence order is not commit order: whatever writers do, every reader sees every event once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event, type Events } from '../../src/events/index.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { soakCycles } from '../support/soak.ts'
import { anything, place, Seen } from './support.ts'

const Written = event('gap.written', anything<{ n: number }>())
const WRITERS = 16
const EVENTS = 10_000

/** Every way to read: one at a time, several at once, in batches, in order, in transactions, by shards. */
function readers(events: Events, seen: Readonly<Record<string, Seen<number>>>): void {
  const from = 'beginning'
  const add = (name: string, n: number): void => seen[name]?.add(n)
  events.subscribe(Written, 'single', ({ data }) => add('single', data.n), { from, concurrency: 1 })
  events.subscribe(Written, 'several', async ({ data }) => {
    await Promise.resolve()
    add('several', data.n)
  }, { from, concurrency: 20 }) // prettier-ignore
  events.subscribe(Written, 'batch', ({ events: all }) => all.forEach(({ data }) => add('batch', data.n)), {
    from,
    batch: 300,
  })
  events.subscribe('gap.*', 'ordered', ({ data }) => add('ordered', (data as { n: number }).n), {
    from,
    ordered: 'key',
  })
  events.subscribe(
    Written,
    'transaction',
    ({ events: all }) => all.forEach(({ data }) => add('transaction', data.n)),
    { from, batch: 500, transaction: true },
  )
  events.subscribe(Written, 'sharded', ({ data }) => add('sharded', data.n), { from, shards: 4 })
}

test('events of 16 writers with open and rolled-back transactions arrive once each, in every mode', async () => {
  await using here = await place()
  const [a, b] = [await here.peer(), await here.peer()]
  const names = ['single', 'several', 'batch', 'ordered', 'transaction', 'sharded']
  const seen = Object.fromEntries(names.map((name) => [name, new Seen<number>()]))
  readers(a.events, seen)
  readers(b.events, seen)
  const random = seededRandom(20_261_121)
  let next = 0
  let committed = 0
  const writer = async (): Promise<void> => {
    const publisher = random() < 0.5 ? a : b
    while (next < EVENTS) {
      const count = 1 + Math.floor(random() * 40)
      const items = Array.from({ length: count }, () => ({ data: { n: next++ }, key: `k${next % 50}` }))
      const rollBack = random() < 0.2
      const pauses = Math.floor(random() * 4)
      const written = publisher.db.transaction(async (tx) => {
        await publisher.events.publishMany(Written, items.slice(0, count / 2), { tx })
        // The transaction stays open with ids in its hands, while others commit higher ones.
        for (let i = 0; i < pauses; i++) await tx.query('select pg_sleep(0.005)')
        await publisher.events.publishMany(Written, items.slice(count / 2), { tx })
        if (rollBack) throw new Error('rolled back')
      })
      const done = await written.then(
        () => true,
        () => false,
      )
      if (!done) {
        // What was rolled back is written after all, so that what must arrive is known.
        await publisher.events.publishMany(Written, items)
      }
      committed += count
    }
  }
  await Promise.all(Array.from({ length: WRITERS }, writer))
  const expected = Array.from({ length: committed }, (_, n) => n)
  for (const name of names) {
    const got = seen[name]
    assert.ok(got)
    await got.atLeast(committed)
    assert.deepEqual(
      got.all.toSorted((x, y) => x - y),
      expected,
      name,
    )
  }
})

test('an event of a transaction that was open while later ones were read arrives when it commits', async () => {
  await using here = await place()
  const peer = await here.peer()
  const seen = new Seen<number>()
  await peer.events
    .subscribe(Written, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
    .ready()
  const opened = Promise.withResolvers<void>()
  const mayCommit = Promise.withResolvers<void>()
  const early = peer.db.transaction(async (tx) => {
    await peer.events.publish(Written, { n: 1 }, { tx })
    opened.resolve()
    await mayCommit.promise
  })
  await opened.promise
  await peer.events.publish(Written, { n: 2 })
  await seen.atLeast(1)
  assert.deepEqual(seen.all, [2])
  mayCommit.resolve()
  await early
  await seen.atLeast(2)
  await peer.events.publish(Written, { n: 3 })
  await seen.atLeast(3)
  assert.deepEqual(seen.all, [2, 1, 3])
})

test('a long transaction that has nothing to do with events holds none of them up', async () => {
  await using here = await place()
  const peer = await here.peer()
  const seen = new Seen<number>()
  await peer.events
    .subscribe(Written, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
    .ready()
  await peer.db.query('create table unrelated (n int)')
  const opened = Promise.withResolvers<void>()
  const over = Promise.withResolvers<void>()
  const long = peer.db.transaction(
    async (tx) => {
      await tx.execute('insert into unrelated values (1)')
      opened.resolve()
      await over.promise
    },
    { timeout: '10m' },
  )
  await opened.promise
  const count = soakCycles(50, 10_000)
  for (let n = 0; n < count; n++) {
    await peer.events.publish(Written, { n })
    // Each arrives while the transaction is open.
    await seen.atLeast(n + 1)
  }
  over.resolve()
  await long
  assert.equal(seen.all.length, count)
})

test('a transaction that is rolled back publishes nothing, a thousand times', async () => {
  await using here = await place()
  const peer = await here.peer()
  const seen = new Seen<number>()
  await peer.events
    .subscribe(Written, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
    .ready()
  let undone = 0
  const worker = async (): Promise<void> => {
    while (undone < 1_000) {
      undone++
      const attempt = peer.db.transaction(async (tx) => {
        await peer.events.publish(Written, { n: -1 }, { tx })
        throw new Error('undo')
      })
      await assert.rejects(attempt, /undo/)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  await peer.events.publish(Written, { n: 1 })
  await seen.atLeast(1)
  assert.deepEqual(seen.all, [1])
})
