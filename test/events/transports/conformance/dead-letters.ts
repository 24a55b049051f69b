import assert from 'node:assert/strict'
import { z } from 'zod'
import { event } from '../../../../src/events/index.ts'
import type { Stage } from './suite.ts'
import { anything, Seen, unique, until } from './support.ts'

export function deadLetters({ features, writer, reader, check }: Stage): void {
  if (!features.deadLetters) return

  check(
    'an event whose attempts are used up is a dead letter with its data and reason, and comes again on redrive',
    async () => {
      const Made = event(unique('dead'), anything<{ n: number }>())
      const name = unique('dead')
      const done = new Seen<number>()
      let isBroken = true
      const subscription = reader().events.subscribe(
        Made,
        name,
        ({ data }) => {
          if (isBroken) throw new Error('the warehouse is closed')
          done.add(data.n)
        },
        { attempts: 2, backoff: { base: 1, max: 1 } },
      )
      await subscription.ready()
      await writer().events.publish(Made, { n: 42 }, { key: 'k' })
      const letters = reader().events.deadLetters
      const [letter] = await until(
        () => letters.list({ subscription: name }),
        (all) => all.length === 1,
      )
      assert.equal(letter?.subscription, name)
      assert.equal(letter.topic, Made.topic)
      assert.deepEqual(letter.data, { n: 42 })
      assert.equal(letter.attempt, 2)
      assert.match(letter.why, /the warehouse is closed/)
      assert.deepEqual((await letters.get(letter.id))?.data, { n: 42 })
      if (features.redrive) {
        isBroken = false
        const { redriven } = await letters.redrive({ subscription: name })
        assert.equal(redriven, 1)
        await done.atLeast(1)
        assert.deepEqual(done.all, [42])
        await until(
          () => letters.list({ subscription: name }),
          (all) => all.length === 0,
        )
      }
      await subscription.stop()
    },
  )

  check(
    'what does not fit the schema of the reader is dead without another attempt, and others go on',
    async () => {
      const topic = unique('misfit')
      const Loose = event(topic, anything<unknown>())
      const Strict = event(topic, z.object({ id: z.string() }))
      const name = unique('misfit')
      const seen = new Seen<string>()
      const subscription = reader().events.subscribe(Strict, name, ({ data }) => seen.add(data.id), {
        attempts: 5,
      })
      await subscription.ready()
      await writer().events.publish(Loose, { id: 7, secret: 'hunter2' })
      await writer().events.publish(Loose, { id: 'fits' })
      await seen.atLeast(1)
      assert.deepEqual(seen.all, ['fits'])
      const [letter] = await until(
        () => reader().events.deadLetters.list({ subscription: name }),
        (all) => all.length === 1,
      )
      assert.deepEqual(letter?.data, { id: 7, secret: 'hunter2' })
      assert.equal(letter.attempt, 1)
      assert.doesNotMatch(letter.why, /hunter2/)
      await subscription.stop()
    },
  )

  check('older versions are upcast, and newer ones than the reader knows are dead letters', async () => {
    const topic = unique('version')
    const One = event(topic, z.object({ name: z.string() }))
    const Two = event(topic, z.object({ first: z.string() }), {
      version: 2,
      upcast: { 1: (old: { name: string }) => ({ first: old.name.split(' ')[0] }) },
    })
    const Three = event(topic, anything<unknown>(), { version: 3 })
    const name = unique('version')
    const seen = new Seen<string>()
    const subscription = reader().events.subscribe(Two, name, ({ data }) => seen.add(data.first))
    await subscription.ready()
    await writer().events.publish(One, { name: 'Ada Lovelace' })
    await writer().events.publish(Two, { first: 'Grace' })
    await writer().events.publish(Three, { given: 'Alan' })
    await seen.atLeast(2)
    assert.deepEqual(seen.all.toSorted(), ['Ada', 'Grace'])
    const [letter] = await until(
      () => reader().events.deadLetters.list({ subscription: name }),
      (all) => all.length === 1,
    )
    assert.match(letter?.why ?? '', /version 3, newer than this program/)
    await subscription.stop()
  })
}
