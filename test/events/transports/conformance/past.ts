import assert from 'node:assert/strict'
import { event } from '../../../../src/events/index.ts'
import type { Stage } from './suite.ts'
import { anything, refused, refusedAtOnce, Seen, unique, until } from './support.ts'

export function past({ features, writer, reader, check }: Stage): void {
  if (features.history) {
    check("a subscription from 'beginning' gets what was published and read before it", async () => {
      const Made = event(unique('old'), anything<number>())
      const [first, second] = [new Seen<number>(), new Seen<number>()]
      const one = reader().events.subscribe(Made, unique('first'), ({ data }) => first.add(data))
      await one.ready()
      for (let n = 0; n < 10; n++) await writer().events.publish(Made, n, { key: 'k' })
      await first.atLeast(10)
      const two = reader().events.subscribe(Made, unique('second'), ({ data }) => second.add(data), {
        from: 'beginning',
      })
      await second.atLeast(10)
      assert.deepEqual(
        second.all.toSorted((a, b) => a - b),
        Array.from({ length: 10 }, (_, n) => n),
      )
      await one.stop()
      await two.stop()
    })
  } else {
    check("from: 'beginning' is refused at once", async () => {
      const Made = event(unique('old'), anything<number>())
      refusedAtOnce(() =>
        reader().events.subscribe(Made, unique('old'), () => undefined, { from: 'beginning' }),
      )
    })
  }

  if (features.replay) {
    check('a replay hands events of the past to the handler again, with their ids and its own', async () => {
      const Made = event(unique('again'), anything<number>())
      const live = new Seen<string>()
      const again = new Seen<string>()
      const name = unique('again')
      const subscription = reader().events.subscribe(Made, name, ({ id, replay }) =>
        (replay === undefined ? live : again).add(id),
      )
      await subscription.ready()
      for (let n = 0; n < 5; n++) await writer().events.publish(Made, n)
      await live.atLeast(5)
      const { id } = await reader().events.replay(name, { from: 'beginning', rate: 10_000 })
      await again.atLeast(5)
      assert.deepEqual(again.all.toSorted(), live.all.toSorted())
      await until(
        () => reader().events.replays(name),
        (all) => all.some((each) => each.id === id && each.state === 'done'),
      )
      await subscription.stop()
    })
  } else {
    check('a replay is refused at the call', async () => {
      await refused(() => reader().events.replay('any', { from: 'beginning' }))
      await refused(() => reader().events.replays())
      await refused(() => reader().events.cancelReplay('1'))
    })
  }
}
