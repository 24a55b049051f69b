import assert from 'node:assert/strict'
import { event } from '../../../../src/events/index.ts'
import type { Stage } from './suite.ts'
import { anything, refusedAtOnce, Seen, unique } from './support.ts'

export function deliveries({ features, place, writer, reader, check }: Stage): void {
  check('every subscription gets every event', async () => {
    const Made = event(unique('fan'), anything<number>())
    const [one, two] = [new Seen<number>(), new Seen<number>()]
    const subscriptions = [one, two].map((seen) =>
      reader().events.subscribe(Made, unique('fan'), ({ data }) => seen.add(data)),
    )
    for (const each of subscriptions) await each.ready()
    for (let n = 0; n < 20; n++) await writer().events.publish(Made, n)
    await one.atLeast(20)
    await two.atLeast(20)
    for (const each of subscriptions) await each.stop()
  })

  check(
    'processes that use one subscription share its events, and another goes on when one stops',
    async () => {
      await using other = await place().join('reader')
      const Made = event(unique('shared'), anything<number>())
      const seen = new Seen<number>()
      const name = unique('shared')
      const options = { shards: 2 }
      const first = reader().events.subscribe(Made, name, ({ data }) => seen.add(data), options)
      const second = other.events.subscribe(Made, name, ({ data }) => seen.add(data), options)
      await first.ready()
      await second.ready()
      for (let n = 0; n < 50; n++) await writer().events.publish(Made, n, { key: `k-${n}` })
      await seen.atLeast(50)
      await first.stop()
      for (let n = 50; n < 100; n++) await writer().events.publish(Made, n, { key: `k-${n}` })
      const all = (): number => new Set(seen.all).size
      while (all() < 100) await seen.atLeast(seen.all.length + 1)
      await second.stop()
    },
  )

  if (features.patterns) {
    check('a pattern takes one word for * and any number for #', async () => {
      const root = unique('p')
      const topics = [`${root}.created`, `${root}.deleted`, `${root}.deep.created`, `${root}x.created`]
      const types = topics.map((topic) => event(topic, anything<string>()))
      const [star, hash] = [new Seen<string>(), new Seen<string>()]
      const subscriptions = [
        reader().events.subscribe(`${root}.*`, unique('star'), ({ topic }) => star.add(topic)),
        reader().events.subscribe(`${root}.#`, unique('hash'), ({ topic }) => hash.add(topic)),
        // Somebody takes the one that the others must not see.
        reader().events.subscribe(types[3]!, unique('rest'), () => undefined),
      ]
      for (const each of subscriptions) await each.ready()
      for (const type of types.toReversed()) await writer().events.publish(type, 'data')
      await star.atLeast(2)
      await hash.atLeast(3)
      assert.deepEqual(star.all.toSorted(), topics.slice(0, 2).toSorted())
      assert.deepEqual(hash.all.toSorted(), topics.slice(0, 3).toSorted())
      for (const each of subscriptions) await each.stop()
    })
  }

  if (features.batches) {
    check('a batch handler gets arrays, and fails one of them alone', async () => {
      const Made = event(unique('batch'), anything<number>())
      const sizes: number[] = []
      const done = new Seen<number>()
      let failed = false
      const subscription = reader().events.subscribe(
        Made,
        unique('batch'),
        ({ events, fail }) => {
          sizes.push(events.length)
          for (const { id, data } of events) {
            if (data === 7 && !failed) {
              failed = true
              fail(id, new Error('not this one, not yet'))
            } else done.add(data)
          }
        },
        { batch: 50, backoff: { base: 1, max: 1 } },
      )
      await subscription.ready()
      await writer().events.publishMany(
        Made,
        Array.from({ length: 200 }, (_, data) => ({ data })),
      )
      await done.atLeast(200)
      assert.deepEqual(
        [...new Set(done.all)].toSorted((a, b) => a - b),
        Array.from({ length: 200 }, (_, n) => n),
      )
      assert.ok(Math.max(...sizes) <= 50)
      await subscription.stop()
    })
  } else {
    check('batches are refused at once', async () => {
      const Made = event(unique('batch'), anything<number>())
      refusedAtOnce(() => reader().events.subscribe(Made, unique('batch'), () => undefined, { batch: 5 }))
    })
  }

  if (features.retry) {
    check(
      'an event that fails is tried again with its attempts counted, and others go on meanwhile',
      async () => {
        const Made = event(unique('retry'), anything<string>())
        const attempts: number[] = []
        const done = new Seen<string>()
        const subscription = reader().events.subscribe(
          Made,
          unique('retry'),
          ({ data, attempt }) => {
            if (data === 'bad') {
              attempts.push(attempt)
              if (attempt < 3) throw new Error('not yet')
            }
            done.add(data)
          },
          { attempts: 5, backoff: { base: 1, max: 1 } },
        )
        await subscription.ready()
        await writer().events.publish(Made, 'bad', { key: 'one' })
        await writer().events.publish(Made, 'good', { key: 'two' })
        await done.atLeast(2)
        assert.deepEqual(attempts, [1, 2, 3])
        assert.deepEqual(done.all.toSorted(), ['bad', 'good'])
        await subscription.stop()
      },
    )
  }
}
