import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { isEmbedded } from '../support/durable-database.ts'
import { anything, place, Seen } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())

for (const where of isEmbedded ? (['embedded'] as const) : (['server', 'embedded'] as const)) {
  suite(`events on ${where}`, () => {
    test('an event reaches a subscription in this process and in another one, once each', async () => {
      await using here = await place(where)
      const [a, b] = [await here.peer(), await here.peer()]
      const first = new Seen<number>()
      const second = new Seen<number>()
      a.events.subscribe(Created, 'first', ({ data }) => first.add(data.n), { from: 'beginning' })
      b.events.subscribe(Created, 'second', ({ data }) => second.add(data.n), { from: 'beginning' })
      for (let n = 0; n < 5; n++) {
        const { id, scheduled } = await a.events.publish(Created, { n })
        assert.match(id, /^\d+$/)
        assert.equal(scheduled, false)
      }
      await first.atLeast(5)
      await second.atLeast(5)
      assert.deepEqual(first.all, [0, 1, 2, 3, 4])
      assert.deepEqual(second.all, [0, 1, 2, 3, 4])
    })

    test('an event in a transaction is there after the commit, and never after a rollback', async () => {
      await using here = await place(where)
      const peer = await here.peer()
      const seen = new Seen<number>()
      peer.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
      const undone = peer.db.transaction(async (tx) => {
        await peer.events.publish(Created, { n: -1 }, { tx })
        throw new Error('undo')
      })
      await assert.rejects(undone, /undo/)
      await peer.db.transaction(async (tx) => {
        await peer.events.publish(Created, { n: 1 }, { tx })
        await peer.events.publish(Created, { n: 2 }, { tx })
      })
      await seen.atLeast(2)
      assert.deepEqual(seen.all, [1, 2])
    })

    test('a subscription goes on where it was, also in another process', async () => {
      await using here = await place(where)
      const publisher = await here.peer()
      const seen = new Seen<number>()
      {
        await using reader = await here.peer()
        reader.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
        await publisher.events.publishMany(Created, [{ data: { n: 1 } }, { data: { n: 2 } }])
        await seen.atLeast(2)
      }
      await publisher.events.publish(Created, { n: 3 })
      await using other = await here.peer()
      other.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
      await seen.atLeast(3)
      assert.deepEqual(seen.all, [1, 2, 3])
    })

    test("a subscription from 'now' sees nothing of before, one from 'beginning' everything", async () => {
      await using here = await place(where)
      const peer = await here.peer()
      await peer.events.publish(Created, { n: 1 })
      const [now, all] = [new Seen<number>(), new Seen<number>()]
      await using reader = await here.peer()
      reader.events.subscribe(Created, 'all', ({ data }) => all.add(data.n), { from: 'beginning' })
      await all.atLeast(1)
      await reader.events.subscribe(Created, 'now', ({ data }) => now.add(data.n)).ready()
      await peer.events.publish(Created, { n: 2 })
      await now.atLeast(1)
      await all.atLeast(2)
      assert.deepEqual(now.all, [2])
      assert.deepEqual(all.all, [1, 2])
    })
  })
}
