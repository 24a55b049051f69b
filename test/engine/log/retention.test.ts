/** Partitions of the log: made ahead, dropped when old, and nobody loses anything without being told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tendLog } from '../../../src/engine/log/retention.ts'
import { event } from '../../../src/events/index.ts'
import { topicMatcher } from '../../../src/events/pattern.ts'
import { anything, place, Seen, until, type Peer } from '../../events/support.ts'

const Kept = event('log.kept', anything<{ n: number }>())
const signal = new AbortController().signal
const matches = (patterns: readonly string[], topic: string): boolean => topicMatcher(patterns)(topic)

/** As the component does now and then, too: one of them at a time. */
const tend = (peer: Peer, retentionMs: number) =>
  until(
    () => tendLog(peer.db, retentionMs, matches, signal),
    (tended) => tended !== undefined,
  )

async function partitions({ db }: Peer): Promise<readonly string[]> {
  const rows = await db.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'sluice.event'::regclass and c.relname <> 'event_rest' order by length(c.relname), c.relname`,
  )
  return rows.map(({ name }) => name)
}

test('partitions are made ahead of the ids, also when these have run past the last one', async () => {
  await using here = await place()
  const peer = await here.peer()
  const seen = new Seen<number>()
  await peer.events.subscribe(Kept, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' }).ready()
  assert.deepEqual(await partitions(peer), ['event_1', 'event_100001'])
  await peer.db.query(`select setval('sluice.event_id', 100500)`)
  await peer.events.publish(Kept, { n: 1 })
  await tend(peer, 86_400_000)
  assert.deepEqual((await partitions(peer)).slice(0, 3), ['event_1', 'event_100001', 'event_200001'])
  await peer.db.query(`select setval('sluice.event_id', 90000000)`)
  await peer.events.publish(Kept, { n: 2 })
  const net = await peer.db.queryOne<{ n: number }>('select count(*)::int as n from sluice.event_rest')
  assert.equal(net?.n, 1)
  const tended = await tendLog(peer.db, 86_400_000, matches, signal)
  assert.equal(tended?.made.length, 2)
  await seen.atLeast(2)
  assert.deepEqual(seen.all, [1, 2])
})

test('an old partition is dropped, and a subscription that had not read it is told how much it missed', async () => {
  await using here = await place()
  const peer = await here.peer()
  const [quick, slow] = [new Seen<number>(), new Seen<number>()]
  const behind = peer.events.subscribe(Kept, 'slow', ({ data }) => slow.add(data.n), { from: 'beginning' })
  await behind.ready()
  await behind.stop()
  await peer.events
    .subscribe('log.*', 'quick', ({ data }) => quick.add((data as { n: number }).n), { from: 'beginning' })
    .ready()
  await peer.events.publishMany(
    Kept,
    Array.from({ length: 30 }, (_, n) => ({ data: { n } })),
  )
  await quick.atLeast(30)
  await until(
    () => peer.events.lag(),
    (all) => all.find(({ name }) => name === 'quick')?.events === 0,
  )
  // Ids run on past the first partition, and a tick sees that.
  await peer.db.query(`select setval('sluice.event_id', 150000)`)
  await peer.events.publish(Kept, { n: 30 })
  await quick.atLeast(31)
  await peer.events.publish(Kept, { n: 31 })
  await quick.atLeast(32)
  await until(
    () => peer.events.lag(),
    (all) => all.find(({ name }) => name === 'quick')?.idleMs !== 0,
  )
  // A retention of nothing: whatever a tick has seen is old.
  const dropped = await until(
    () => tendLog(peer.db, 0, matches, signal),
    (each) => (each?.dropped.length ?? 0) > 0,
  )
  assert.deepEqual(dropped?.dropped, ['event_1'])
  assert.deepEqual(dropped?.missed, [{ subscription: 'slow', events: 30 }])
  const lag = await peer.events.lag()
  assert.deepEqual(
    lag.map(({ name, missed }) => [name, missed]),
    [
      ['quick', 0],
      ['slow', 30],
    ],
  )
  peer.events.subscribe(Kept, 'slow', ({ data }) => slow.add(data.n), { from: 'beginning' })
  await slow.atLeast(2)
  assert.deepEqual(
    slow.all.toSorted((x, y) => x - y),
    [30, 31],
  )
})

test('ticks are thinned, and a reader goes on from one that is gone without leaving anything out', async () => {
  await using here = await place()
  const peer = await here.peer()
  const seen = new Seen<number>()
  const first = peer.events.subscribe(Kept, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
  await first.ready()
  for (let n = 0; n < 5; n++) {
    await peer.events.publish(Kept, { n })
    await seen.atLeast(n + 1)
  }
  await first.stop()
  // All in one second, however long it took.
  await peer.db.query(
    `update sluice.tick set at = date_trunc('second', clock_timestamp()) - interval '1 hour'`,
  )
  await tend(peer, 86_400_000)
  const thinned = await peer.db.queryOne<{ n: number }>(
    'select count(*)::int as n from sluice.tick where thinned is not null',
  )
  assert.ok((thinned?.n ?? 0) > 0)
  await peer.db.query(`update sluice.tick set thinned = thinned - interval '2 hours'`)
  await tend(peer, 86_400_000)
  // As if it had stood at one that is gone.
  await peer.db
    .query(`delete from sluice.tick t using sluice.lease l where l.kind = 's' and t.n = l.tick and t.n > 0
    and t.n < (select max(n) from sluice.tick)`)
  await peer.events.publish(Kept, { n: 5 })
  peer.events.subscribe(Kept, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
  await until(
    () => Promise.resolve(seen.all),
    (all) => all.includes(5),
  )
})

test('of a quiet log old events are deleted in batches, and a subscription that had not read them is told', async () => {
  await using here = await place()
  // The component's own care leaves the rows alone.
  const peer = await here.peer({ retention: '365d' })
  const quick = new Seen<number>()
  const behind = peer.events.subscribe(Kept, 'slow', () => {}, { from: 'beginning' })
  await behind.ready()
  await behind.stop()
  const reading = peer.events.subscribe('log.*', 'quick', ({ data }) => quick.add((data as { n: number }).n))
  await reading.ready()
  const all = Array.from({ length: 5_200 }, (_, n) => ({ data: { n } }))
  await peer.events.publishMany(Kept, all)
  await quick.atLeast(5_200)
  // Its place is written down.
  await reading.stop()
  const days = async (count: number): Promise<void> => {
    await peer.db.execute(`update sluice.event set at = at - $1 * interval '1 day'`, [count])
  }
  const left = async (): Promise<readonly number[]> => {
    const rows = await peer.db.query<{ n: number }>(
      `select (body::json ->> 'n')::int as n from sluice.event order by 1`,
    )
    return rows.map(({ n }) => n)
  }
  await days(7.5)
  await peer.events.publish(Kept, { n: -1 })
  const none = await tend(peer, 7 * 86_400_000)
  assert.equal(none?.trimmed, 0)
  await days(1)
  await peer.events.publish(Kept, { n: -2 })
  const tended = await tend(peer, 7 * 86_400_000)
  assert.equal(tended?.trimmed, 5_200)
  assert.deepEqual(tended.dropped, [])
  assert.deepEqual(tended.missed, [{ subscription: 'slow', events: 5_200 }])
  assert.deepEqual(await left(), [-2, -1])
  const lag = await peer.events.lag()
  assert.deepEqual(
    lag.map(({ name, missed, events }) => [name, missed, events]),
    [
      ['quick', 0, 2],
      ['slow', 5_200, 2],
    ],
  )
})
