import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../../support/eventually.ts'
import { connectKafka, missingBroker, Seen, stage } from './support.ts'

const skip = await missingBroker()
const options = { retry: [], commitInterval: '50ms', sessionTimeout: '1s' } as const

test(
  'members that come and go share the partitions; nothing is lost and little comes twice',
  { skip },
  async () => {
    await using at = await stage({ partitions: 6 })
    const total = 3_000
    const handled = new Map<string, number>()
    const all = new Seen<string>()
    let running = 0
    const handler = async (message: { text(): string }): Promise<void> => {
      running += 1
      await new Promise((resolve) => setImmediate(resolve))
      running -= 1
      const text = message.text()
      handled.set(text, (handled.get(text) ?? 0) + 1)
      all.add(text)
    }
    const join = () => at.api.consume(at.topic, handler, { ...options, group: at.group, concurrency: 4 })
    const first = join()
    await first.ready
    const publishing = (async () => {
      for (let sent = 0; sent < total; sent += 100) {
        const messages = Array.from({ length: 100 }, (_, index) => ({
          key: `k${(sent + index) % 60}`,
          value: String(sent + index),
        }))
        const { errors } = await at.api.publishBatch(at.topic, messages).waitAll()
        assert.deepEqual(errors.filter(Boolean), [])
      }
    })()
    await all.count(300)
    const second = join()
    await second.ready
    await all.count(1_000)
    const third = join()
    await third.ready
    await second.stop()
    await publishing
    await all.when(() => handled.size === total)
    assert.equal(handled.size, total)
    const twice = all.items.length - total
    assert.ok(twice < total / 2, `${twice} came twice`)
    // What came again to a new owner is committed when that has handled it.
    await eventually(() =>
      at.api.lag(at.topic, { group: at.group }).then(({ total: left }) => (left === 0n ? true : undefined)),
    )
    await Promise.all([first.stop(), third.stop()])
    assert.equal(running, 0)
  },
)

test(
  'what a member holds when a rebalance takes its partition is run by the next, and committed by it',
  { skip },
  async () => {
    await using at = await stage({ partitions: 2 })
    await at.api
      .publishBatch(
        at.topic,
        Array.from({ length: 40 }, (_, index) => ({ value: String(index), partition: index % 2 })),
      )
      .waitAll()
    const gate = Promise.withResolvers<void>()
    const first = new Seen<string>()
    const second = new Seen<string>()
    const one = at.api.consume(
      at.topic,
      async (message) => {
        first.add(message.text())
        await gate.promise
      },
      { ...options, group: at.group, concurrency: 4 },
    )
    await first.count(4)
    const two = at.api.consume(at.topic, (message) => second.add(message.text()), {
      ...options,
      group: at.group,
    })
    // Nothing was committed of the partition that it is given, so all of it is its to run.
    await second.count(20)
    assert.equal(new Set(second.items.map((text) => Number(text) % 2)).size, 1)
    await eventually(() =>
      at.api
        .lag(at.topic, { group: at.group })
        .then(({ partitions }) => (partitions.some(({ lag }) => lag === 0n) ? true : undefined)),
    )
    gate.resolve()
    await Promise.all([one.stop(), two.stop()])
  },
)

test('a member that is gone without a word is replaced after its session', { skip }, async () => {
  await using at = await stage()
  const gone = await connectKafka()
  const held = new Seen<string>()
  const never = Promise.withResolvers<void>()
  const lost = gone.kafka.consume(
    at.topic,
    async (message) => {
      held.add(message.text())
      await never.promise
    },
    { ...options, group: at.group },
  )
  await at.api.publish(at.topic, 'x')
  await held.count(1)
  const seen = new Seen<string>()
  await using _next = at.api.consume(at.topic, (message) => seen.add(message.text()), {
    ...options,
    group: at.group,
  })
  // Its handler never ends, so closing gives up on it, and the message is committed by nobody.
  await gone.close(AbortSignal.timeout(300)).catch(() => {})
  assert.deepEqual(await seen.count(1), ['x'])
  never.resolve()
  await lost.stop()
})

test('static members keep their partitions over a restart', { skip }, async () => {
  await using at = await stage({ partitions: 2 })
  const seen = new Seen<string>()
  const join = (instanceId: string) =>
    at.api.consume(at.topic, (message) => seen.add(message.text()), {
      ...options,
      group: at.group,
      instanceId,
    })
  const one = join('one')
  const two = join('two')
  await Promise.all([one.ready, two.ready])
  while (one.stats().partitions + two.stats().partitions !== 4)
    await new Promise((resolve) => setImmediate(resolve))
  await one.stop()
  await using again = join('one')
  await again.ready
  await at.api
    .publishBatch(at.topic, [
      { value: 'a', partition: 0 },
      { value: 'b', partition: 1 },
    ])
    .waitAll()
  assert.deepEqual([...(await seen.count(2))].sort(), ['a', 'b'])
  await two.stop()
})
