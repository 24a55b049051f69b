import assert from 'node:assert/strict'
import { event } from '../../../../src/events/index.ts'
import type { Stage } from './suite.ts'
import { anything, refusedAtOnce, Seen, unique } from './support.ts'

export function orders({ features, writer, reader, check }: Stage): void {
  if (features.order) {
    check('events of one key come one at a time and in order, also over topics and retries', async () => {
      const root = unique('order')
      const types = ['a', 'b'].map((name) => event(`${root}.${name}`, anything<{ key: string; n: number }>()))
      const perKey = new Map<string, number[]>()
      const running = new Set<string>()
      const done = new Seen<string>()
      let overlaps = 0
      const subscription = reader().events.subscribe(
        `${root}.*`,
        unique('order'),
        async ({ data, key = '', attempt }) => {
          if (running.has(key)) overlaps++
          running.add(key)
          const { n } = data as { n: number }
          await new Promise((resolve) => setImmediate(resolve))
          running.delete(key)
          if (n === 5 && attempt === 1) throw new Error('once')
          perKey.set(key, [...(perKey.get(key) ?? []), n])
          done.add(key)
        },
        { ordered: 'key', concurrency: 20, backoff: { base: 1, max: 1 } },
      )
      await subscription.ready()
      const keys = ['k1', 'k2', 'k3', 'k4', 'k5']
      for (let n = 0; n < 20; n++) {
        for (const key of keys) await writer().events.publish(types[n % 2]!, { key, n }, { key })
      }
      await done.atLeast(100)
      const inOrder = Array.from({ length: 20 }, (_, n) => n)
      for (const key of keys) assert.deepEqual([...new Set(perKey.get(key))], inOrder)
      assert.equal(overlaps, 0)
      await subscription.stop()
    })
  } else {
    check('order by key is refused at once', async () => {
      const Made = event(unique('order'), anything<number>())
      refusedAtOnce(() =>
        reader().events.subscribe(Made, unique('order'), () => undefined, { ordered: 'key' }),
      )
    })
  }

  if (features.stop) {
    check("with onFail: 'stop' nothing goes on behind an event that fails", async () => {
      const Made = event(unique('stop'), anything<number>())
      const done: number[] = []
      const all = new Seen<number>()
      const subscription = reader().events.subscribe(
        Made,
        unique('stop'),
        ({ data, attempt }) => {
          if (data === 1 && attempt < 4) throw new Error('not yet')
          done.push(data)
          all.add(data)
        },
        { onFail: 'stop', concurrency: 1, backoff: { base: 1, max: 1 } },
      )
      await subscription.ready()
      for (let n = 0; n < 4; n++) await writer().events.publish(Made, n, { key: 'k' })
      await all.atLeast(4)
      assert.deepEqual(done, [0, 1, 2, 3])
      await subscription.stop()
    })
  } else {
    check("onFail: 'stop' is refused at once", async () => {
      const Made = event(unique('stop'), anything<number>())
      refusedAtOnce(() =>
        reader().events.subscribe(Made, unique('stop'), () => undefined, { onFail: 'stop' }),
      )
    })
  }
}
