import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { at, connectRabbit, foreigner, hasCode, Inbox, ownVhost, unique, until } from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const { broker } = own
const rabbit = (name: string, fn: () => Promise<void>): void =>
  void test(name, { skip: own.skip, timeout: 30_000 }, fn)

rabbit('dead letters are looked at, sent back by id, thrown away; what was not chosen stays', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const queue = unique('dead')
  let isRepaired = false
  const inbox = new Inbox<unknown>()
  await mq.subscribe(
    `${queue}.*`,
    queue,
    ({ data, attempt, topic, exchange, headers }) => {
      if (!isRepaired) throw new Error('broken')
      inbox.add({ data, attempt, topic, exchange, headers })
    },
    { attempts: 1 },
  ).live
  const ids: string[] = []
  for (let n = 0; n < 6; n += 1) ids.push(await mq.publish(`${queue}.${n}`, { n }, { headers: { n } }))
  const dead = mq.deadLetters(queue)
  await until(async () => (await dead.count()) === 6)
  assert.deepEqual(
    (await dead.list({ limit: 2 })).map(({ attempts }) => attempts),
    [1, 1],
  )
  assert.deepEqual(new Set((await dead.list()).map(({ id }) => id)), new Set(ids))
  isRepaired = true
  assert.equal(await dead.redrive({ ids: [ids[3]!, ids[5]!, 'no such id'] }), 2)
  await inbox.until(2)
  assert.deepEqual(
    inbox.items.find((item) => (item as { data: { n: number } }).data.n === 3),
    { data: { n: 3 }, attempt: 1, topic: `${queue}.3`, exchange: 'sluice', headers: { n: 3 } },
  )
  assert.equal(await dead.drop({ ids: [ids[0]!] }), 1)
  assert.deepEqual(new Set((await dead.list()).map(({ id }) => id)), new Set([ids[1], ids[2], ids[4]]))
  assert.equal(await dead.redrive({ limit: 2 }), 2)
  await inbox.until(4)
  assert.equal(await dead.count(), 1)
  assert.equal(await dead.redrive(), 1)
  await inbox.until(5)
  assert.equal(await dead.redrive(), 0)
})

rabbit('what fails again after a redrive is a dead letter again, and ends that redrive', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  const queue = unique('again')
  await mq.subscribe(queue, queue, () => Promise.reject(new Error('still')), { attempts: 1 }).live
  for (let n = 0; n < 5; n += 1) await mq.publish(queue, n)
  const dead = mq.deadLetters(queue)
  await until(async () => (await dead.count()) === 5)
  assert.equal(await dead.redrive(), 5)
  await until(async () => (await dead.count()) === 5)
})

rabbit('what the broker itself gives up on lies there as well, with its reason', async () => {
  await using connected = await connectRabbit(at(broker))
  await using other = await foreigner(broker)
  const { mq } = connected
  const queue = unique('expired')
  const subscription = mq.subscribe(queue, queue, () => {})
  await subscription.live
  await subscription.close()
  await mq.publish(queue, { a: 1 }, { expires: 1, headers: { tenant: 'a' } })
  const dead = mq.deadLetters(queue)
  await until(async () => (await dead.count()) === 1)
  const [letter] = await dead.list()
  assert.equal(letter?.reason, 'expired')
  assert.equal(letter.topic, queue)
  assert.equal(letter.exchange, 'sluice')
  assert.ok(letter.at instanceof Date)
  await mq.publish(queue, { a: 2 })
  const consumer = other.createConsumer(
    { queue, queueOptions: { passive: true }, requeue: false },
    async () => {
      throw new Error('rejected')
    },
  )
  consumer.on('error', () => {})
  await until(async () => (await dead.count()) === 2)
  await consumer.close()
  assert.deepEqual(new Set((await dead.list()).map(({ reason }) => reason)), new Set(['expired', 'rejected']))
  const inbox = new Inbox<unknown>()
  await mq.subscribe(queue, queue, ({ data, topic }) => inbox.add([data, topic])).live
  assert.equal(await dead.redrive(), 2)
  assert.deepEqual(
    new Set(await inbox.until(2)),
    new Set([
      [{ a: 1 }, queue],
      [{ a: 2 }, queue],
    ]),
  )
})

rabbit('wrong limits, and a queue that is not there, are said', async () => {
  await using connected = await connectRabbit(at(broker))
  const dead = connected.mq.deadLetters('nothing')
  await assert.rejects(dead.list({ limit: 0 }), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(dead.list({ limit: 1_001 }), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(dead.redrive({ limit: 10_001 }), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(dead.count(), hasCode('SLUICE_UNAVAILABLE', /no queue 'nothing.dead'/))
})

rabbit('a message that ends its process each time becomes a dead letter', async () => {
  const queue = unique('poison')
  await using watcher = await connectRabbit(at(broker))
  for (const priorities of [false, true]) {
    const name = `${queue}.${priorities ? 'classic' : 'quorum'}`
    const options = { redeliveries: 2, prefetch: 1, priorities }
    let deliveries = 0
    // A connection that is cut while the handler runs is all that the broker sees of a process that dies.
    const live = async (): Promise<void> => {
      const connected = await connectRabbit(at(broker))
      const started = Promise.withResolvers<void>()
      await connected.mq.subscribe(
        name,
        name,
        ({ signal }) => {
          deliveries += 1
          started.resolve()
          return new Promise((resolve) => signal.addEventListener('abort', resolve))
        },
        options,
      ).live
      if (deliveries === 0) await connected.mq.publish(name, 1)
      const dead = connected.mq.deadLetters(name)
      await Promise.race([started.promise, until(async () => (await dead.count()) === 1).catch(() => {})])
      await connected.close(AbortSignal.abort(new Error('killed')))
    }
    for (let life = 1; life <= 4; life += 1) await live()
    assert.equal(deliveries, 3)
    const [letter] = await watcher.mq.deadLetters(name).list()
    assert.match(letter?.reason ?? '', /delivered 4 times without an answer/)
  }
})
