import assert from 'node:assert/strict'
import { event } from '../../../../src/events/index.ts'
import type { Stage } from './suite.ts'
import { anything, refused, Seen, unique, until } from './support.ts'

export function steering({ features, writer, reader, check }: Stage): void {
  if (!features.steering) {
    check('lag, topics, pause and resume are refused at the call', async () => {
      await refused(() => reader().events.lag())
      await refused(() => reader().events.topics())
      await refused(() => reader().events.pause('any'))
      await refused(() => reader().events.resume('any'))
      await refused(() => reader().events.waiting.list())
      await refused(() => reader().events.waiting.retry({ subscription: 'any' }))
    })
    return
  }

  check('a subscription that is paused falls behind, says so, and catches up', async () => {
    const Made = event(unique('pause'), anything<number>())
    const name = unique('pause')
    const seen = new Seen<number>()
    const subscription = reader().events.subscribe(Made, name, ({ data }) => seen.add(data))
    await subscription.ready()
    await writer().events.publish(Made, 0)
    await seen.atLeast(1)
    await reader().events.pause(name, 'a test')
    await until(
      () => reader().events.lag(),
      (all) => all.some((each) => each.name === name && each.paused && each.pausedWhy === 'a test'),
    )
    await writer().events.publish(Made, 1)
    await until(
      () => reader().events.lag(),
      (all) => all.some((each) => each.name === name && each.events >= 1),
    )
    await reader().events.resume(name)
    await seen.atLeast(2)
    assert.ok((await reader().events.topics()).some((topic) => topic.name === Made.topic))
    await subscription.stop()
  })
}
