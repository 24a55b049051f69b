import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import {
  levelMs,
  MAX_DELAY_MS,
  planDelay,
  TICK_MS,
} from '../../../src/components/rabbitmq/topology/delay-levels.ts'
import { at, connectRabbit, foreigner, hasCode, Inbox, ownVhost, unique, until } from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const { broker } = own
const rabbit = (name: string, fn: () => Promise<void>): void =>
  void test(name, { skip: own.skip, timeout: 30_000 }, fn)

test('any delay is the sum of the buckets that it passes, rounded up to a tick', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: MAX_DELAY_MS }), (ms) => {
      const { level, headers } = planDelay(ms, 'queue:a')
      let sum = 0
      for (let each = 0; each <= level; each += 1)
        if (headers[`sluice-delay-${each}`] === '1') sum += levelMs(each)
      assert.equal(headers[`sluice-delay-${level}`], '1', 'it enters where it waits')
      assert.ok(sum >= ms && sum < ms + TICK_MS)
    }),
  )
  for (const wrong of [0, -1, Number.NaN, MAX_DELAY_MS + 1])
    assert.throws(() => planDelay(wrong, 'queue:a'), hasCode('SLUICE_INVALID_ARGUMENT'))
})

rabbit('delayed messages arrive when they are due, each for itself, with their topic', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const queue = unique('later')
  const inbox = new Inbox<{ ms: number; took: number; topic: string; headers: object }>()
  await mq.subscribe(`${queue}.*`, queue, ({ data, topic, headers }) => {
    const { ms, from } = data as { ms: number; from: number }
    inbox.add({ ms, took: Date.now() - from, topic, headers })
  }).live
  const delays = [1_500, 700, 100, 300, 1_000]
  await Promise.all(
    delays.map((ms) =>
      mq.publish(`${queue}.${ms}`, { ms, from: Date.now() }, { delay: ms, headers: { tenant: 'a' } }),
    ),
  )
  await inbox.until(delays.length)
  assert.deepEqual(
    inbox.items.map(({ ms }) => ms),
    delays.toSorted((a, b) => a - b),
  )
  for (const { ms, took, topic, headers } of inbox.items) {
    assert.ok(took >= ms, `${ms} ms took ${took}`)
    assert.equal(topic, `${queue}.${ms}`)
    assert.deepEqual(headers, { tenant: 'a' })
  }
})

rabbit('queues of others get delayed messages too, under their own routing key', async () => {
  await using connected = await connectRabbit(at(broker))
  await using other = await foreigner(broker)
  const queue = unique('theirs')
  await other.queueDeclare({ queue })
  await other.queueBind({ queue, exchange: 'sluice', routingKey: `${queue}.*` })
  await connected.mq.publish(`${queue}.a`, 1, { delay: 100 })
  let message: Awaited<ReturnType<typeof other.basicGet>>
  await until(async () => (message = await other.basicGet({ queue, noAck: true })) !== undefined)
  assert.equal(message?.routingKey, `${queue}.a`)
})

rabbit('a delayed message that nobody wants is kept, and can be sent again', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const topic = unique('nobody')
  const id = await mq.publish(topic, { a: 1 }, { delay: 100 })
  const lost = mq.unroutable()
  const find = async () => (await lost.list()).find((letter) => letter.id === id)
  await until(async () => (await find()) !== undefined)
  const letter = await find()
  assert.equal(letter?.topic, topic)
  assert.equal(letter?.exchange, 'sluice')
  assert.equal(letter?.bytes.toString(), '{"a":1}')
  await assert.rejects(lost.redrive({ ids: [id] }), hasCode('SLUICE_UNROUTABLE'))
  const inbox = new Inbox<unknown>()
  await mq.subscribe(topic, unique('now'), ({ data }) => inbox.add(data)).live
  assert.equal(await lost.redrive({ ids: [id] }), 1)
  assert.deepEqual(await inbox.until(1), [{ a: 1 }])
  assert.equal(await find(), undefined)
})

rabbit('buckets that somebody deleted are made again', async () => {
  await using connected = await connectRabbit(at(broker))
  await using other = await foreigner(broker)
  const { mq } = connected
  const queue = unique('again')
  const inbox = new Inbox<unknown>()
  await mq.subscribe(queue, queue, ({ data }) => inbox.add(data)).live
  const [queueOf, exchangeOf] = ['sluice.delay.10', 'sluice.delay.10']
  const delay = levelMs(10)
  const one = mq.publish(queue, 1, { delay })
  await one
  await other.queueDelete({ queue: queueOf })
  await mq.publish(queue, 2, { delay })
  await other.exchangeDelete({ exchange: exchangeOf })
  await mq.publish(queue, 3, { delay })
  assert.equal((await other.queueDeclare({ queue: queueOf, passive: true })).messageCount, 2)
  await other.queueDelete({ queue: queueOf })
})
