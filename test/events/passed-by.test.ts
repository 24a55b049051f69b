/** A shard that only passes what belongs to others writes down how far it came, also when nothing follows. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())

test('with several shards the lag of a quiet log comes to nothing', async () => {
  await using here = await place()
  const peer = await here.peer()
  const seen = new Seen<number>()
  peer.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n), {
    from: 'beginning',
    shards: 4,
    ordered: 'key',
  })
  // Of one key, so of one shard: the others pass them by.
  for (let n = 0; n < 5; n += 1) {
    await peer.events.publish(Created, { n }, { key: 'k' })
    await seen.atLeast(n + 1)
  }
  await until(
    () => peer.events.lag(),
    (lags) => lags.length > 0 && lags.every(({ events }) => events === 0),
  )
  assert.deepEqual(seen.all, [0, 1, 2, 3, 4])
})
