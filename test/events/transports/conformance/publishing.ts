import assert from 'node:assert/strict'
import { z } from 'zod'
import { hasCode } from '../../../../src/core/errors.ts'
import { event, type EventContext } from '../../../../src/events/index.ts'
import type { Stage } from './suite.ts'
import { anything, refused, Seen, unique } from './support.ts'

export function publishing({ features, writer, reader, check }: Stage): void {
  check('an event arrives with its data, key, headers, time and trace, and its data is frozen', async () => {
    const Made = event(unique('made'), anything<{ n: number; text: string }>())
    const seen = new Seen<EventContext<{ n: number; text: string }>>()
    const subscription = reader().events.subscribe(Made, unique('all'), (context) => seen.add(context))
    await subscription.ready()
    const began = Date.now()
    const data = { n: 1, text: 'a "quoted" ünïcode 🙂 text\u0000' }
    await writer().events.publish(Made, data, { key: 'k-1', headers: { tenant: 'a', 'x-odd': 'ö' } })
    await seen.atLeast(1)
    const [got] = seen.all
    assert.deepEqual(got?.data, data)
    assert.equal(Object.isFrozen(got.data), true)
    assert.equal(got.topic, Made.topic)
    assert.equal(got.key, 'k-1')
    assert.deepEqual({ ...got.headers }, { tenant: 'a', 'x-odd': 'ö' })
    assert.equal(got.attempt, 1)
    assert.equal(got.replay, undefined)
    assert.notEqual(got.id, '')
    // Clocks of one machine, of a database and of a broker that counts in seconds or milliseconds.
    assert.ok(Math.abs(got.publishedAt.getTime() - began) < 60_000)
    await subscription.stop()
  })

  check('data that does not fit is refused where it is published, with its topic', async () => {
    const Strict = event(unique('strict'), z.object({ id: z.string() }))
    await assert.rejects(
      async () => await writer().events.publish(Strict, { id: 1 } as never),
      (error) => hasCode(error, 'SLUICE_INVALID_DATA') && error.message.includes(Strict.topic),
    )
  })

  check('data that is too large is refused with the limit', async () => {
    const Large = event(unique('large'), anything<string>())
    await assert.rejects(
      async () => await writer().events.publish(Large, 'x'.repeat(1_100_000)),
      (error) => hasCode(error, 'SLUICE_TOO_LARGE') && error.message.includes('1048576'),
    )
  })

  check('many events are published together, and each arrives once', async () => {
    const Many = event(unique('many'), anything<number>())
    const seen = new Seen<number>()
    const subscription = reader().events.subscribe(Many, unique('many'), ({ data }) => seen.add(data))
    await subscription.ready()
    const numbers = Array.from({ length: 500 }, (_, n) => n)
    const published = await writer().events.publishMany(
      Many,
      numbers.map((data) => ({ data })),
    )
    assert.equal(new Set(published.map(({ id }) => id)).size, 500)
    await seen.atLeast(500)
    assert.deepEqual(
      seen.all.toSorted((a, b) => a - b),
      numbers,
    )
    await subscription.stop()
  })

  if (features.delay) {
    check('an event with a delay is told to be scheduled, and arrives', async () => {
      const Later = event(unique('later'), anything<string>())
      const seen = new Seen<string>()
      const subscription = reader().events.subscribe(Later, unique('later'), ({ data }) => seen.add(data))
      await subscription.ready()
      const began = performance.now()
      const { scheduled } = await writer().events.publish(Later, 'late', { delay: 400 })
      assert.equal(scheduled, true)
      await seen.atLeast(1)
      // Never before its time.
      assert.ok(performance.now() - began >= 390)
      await subscription.stop()
    })
  } else {
    check('a delay is refused at the call', async () => {
      const Later = event(unique('later'), anything<string>())
      await refused(() => writer().events.publish(Later, 'late', { delay: 400 }))
      await refused(() => writer().events.publishMany(Later, [{ data: 'late', delay: 400 }]))
    })
  }

  if (features.priority) {
    check('an event with a priority arrives', async () => {
      const Urgent = event(unique('urgent'), anything<string>())
      const seen = new Seen<string>()
      const subscription = reader().events.subscribe(Urgent, unique('urgent'), ({ data }) => seen.add(data))
      await subscription.ready()
      await writer().events.publish(Urgent, 'now', { priority: 0 })
      await seen.atLeast(1)
      await subscription.stop()
    })
  } else {
    check('a priority is refused at the call', async () => {
      const Urgent = event(unique('urgent'), anything<string>())
      await refused(() => writer().events.publish(Urgent, 'now', { priority: 0 }))
      await refused(() => writer().events.publishMany(Urgent, [{ data: 'now', priority: 0 }]))
    })
  }
}
