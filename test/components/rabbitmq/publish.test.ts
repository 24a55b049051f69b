import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { at, connectRabbit, foreigner, hasCode, Inbox, ownVhost, unique, until } from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const { broker } = own
const rabbit = (name: string, fn: () => Promise<void>): void =>
  void test(name, { skip: own.skip, timeout: 30_000 }, fn)

const proxied = () => {
  const [host, port] = broker.address.split(':')
  return startFaultProxy({ target: { host: host!, port: Number(port) } })
}

rabbit('a program of others reads the message and its envelope: CloudEvents in binary mode', async () => {
  await using connected = await connectRabbit(at(broker), { appName: 'shop' })
  await using other = await foreigner(broker)
  const queue = unique('foreign')
  await other.queueDeclare({ queue, durable: true })
  await other.queueBind({ queue, exchange: 'sluice', routingKey: 'post.*' })
  const id = await connected.mq.publish(
    'post.created',
    { title: 'ä' },
    {
      headers: { tenant: 'a', n: 7, yes: true },
      subject: 'post/7',
      version: 2,
      time: new Date('2026-01-02T03:04:05Z'),
      correlationId: 'c',
      replyTo: 'r',
      priority: 0,
      extensions: { partitionkey: 'ada' },
    },
  )
  const message = await other.basicGet({ queue, noAck: true })
  assert.ok(message !== undefined)
  assert.deepEqual(message.body, { title: 'ä' })
  assert.equal(message.messageId, id)
  assert.equal(message.contentType, 'application/json')
  assert.equal(message.durable, true)
  assert.equal(message.routingKey, 'post.created')
  assert.equal(message.correlationId, 'c')
  assert.equal(message.replyTo, 'r')
  assert.equal(message.priority, 9)
  assert.deepEqual(message.headers, {
    tenant: 'a',
    n: 7,
    yes: true,
    'cloudEvents:specversion': '1.0',
    'cloudEvents:id': id,
    'cloudEvents:source': 'shop',
    'cloudEvents:type': 'post.created',
    'cloudEvents:time': '2026-01-02T03:04:05.000Z',
    'cloudEvents:subject': 'post/7',
    'cloudEvents:schemaversion': '2',
    'cloudEvents:partitionkey': 'ada',
  })
  const bytes = Buffer.from([0, 255, 1])
  await connected.mq.publish('post.bytes', bytes, { contentType: 'image/x', id: 'mine', persistent: false })
  const second = await other.basicGet({ queue, noAck: true })
  assert.ok(bytes.equals(second?.body as Buffer))
  assert.equal(second?.messageId, 'mine')
  assert.equal(second.contentType, 'image/x')
  assert.equal(second.durable, false)
})

rabbit(
  'a message that no queue takes is an error with the reason of the broker, though it was confirmed',
  async () => {
    await using connected = await connectRabbit(at(broker))
    await using other = await foreigner(broker)
    const queue = unique('some')
    await other.queueDeclare({ queue })
    await other.queueBind({ queue, exchange: 'sluice', routingKey: queue })
    const topics = Array.from({ length: 500 }, (_, index) => (index % 2 === 0 ? queue : `nobody.${index}`))
    const outcome = await connected.mq.publishBatch(topics.map((topic) => ({ topic, data: 1 }))).waitAll()
    for (const [index, error] of outcome.errors.entries()) {
      if (index % 2 === 0) assert.equal(error, undefined)
      else
        assert.ok(
          hasCode('SLUICE_UNROUTABLE', new RegExp(`"sluice" takes "nobody.${index}" \\(NO_ROUTE\\)`))(error),
        )
    }
    assert.equal(await connected.mq.publish('nobody', 1, { mandatory: false, id: 'a' }), 'a')
  },
)

rabbit('a queue that is full refuses, and the publisher hears of it', async () => {
  await using connected = await connectRabbit(at(broker, { maxRetries: 0 }))
  await using other = await foreigner(broker)
  const queue = unique('full')
  await other.queueDeclare({ queue, arguments: { 'x-max-length': 2, 'x-overflow': 'reject-publish' } })
  await other.queueBind({ queue, exchange: 'sluice', routingKey: queue })
  const outcome = await connected.mq
    .publishBatch(Array.from({ length: 5 }, () => ({ topic: queue, data: 1 })))
    .waitAll()
  assert.equal(outcome.errors.filter((error) => error === undefined).length, 2)
  for (const error of outcome.errors.filter((each) => each !== undefined)) {
    assert.ok(hasCode('SLUICE_OVERLOADED', /nack/)(error))
    assert.equal((error as { retryable?: boolean }).retryable, true)
  }
})

rabbit('wrong arguments are refused before anything is sent, and harm no other message', async () => {
  await using connected = await connectRabbit(at(broker, { maxMessageBytes: '1kb' }))
  const { mq } = connected
  const good = mq.publish('a', 1, { mandatory: false })
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  const wrong: readonly (readonly [Promise<unknown>, Parameters<typeof hasCode>[0], RegExp])[] = [
    [mq.publish('', 1), 'SLUICE_INVALID_ARGUMENT', /topic/],
    [mq.publish('x'.repeat(256), 1), 'SLUICE_INVALID_ARGUMENT', /topic/],
    [mq.publish('\ud800', 1), 'SLUICE_INVALID_ARGUMENT', /topic/],
    [mq.publish('a', undefined), 'SLUICE_INVALID_DATA', /JSON/],
    [mq.publish('a', 1n), 'SLUICE_INVALID_DATA', /JSON/],
    [mq.publish('a', circle), 'SLUICE_INVALID_DATA', /JSON/],
    [mq.publish('a', Buffer.alloc(1_025)), 'SLUICE_TOO_LARGE', /1025 bytes.*1024/],
    [mq.publish('a', 1, { id: '' }), 'SLUICE_INVALID_ARGUMENT', /id/],
    [mq.publish('a', 1, { priority: 10 }), 'SLUICE_INVALID_ARGUMENT', /priority/],
    [mq.publish('a', 1, { delay: '31d' }), 'SLUICE_INVALID_ARGUMENT', /delay/],
    [mq.publish('a', 1, { delay: -1 }), 'SLUICE_INVALID_ARGUMENT', /delay/],
    [mq.publish('a', 1, { delay: 1, exchange: 'b' }), 'SLUICE_UNSUPPORTED', /delay/],
    [mq.publish('a', 1, { delay: 1, expires: 1 }), 'SLUICE_UNSUPPORTED', /expires/],
    [mq.publish('a', 1, { headers: { 'x-death': 'a' } }), 'SLUICE_INVALID_ARGUMENT', /reserved/],
    [mq.publish('a', 1, { headers: { 'sluice-attempts': '9' } }), 'SLUICE_INVALID_ARGUMENT', /reserved/],
    [mq.publish('a', 1, { headers: { a: {} as never } }), 'SLUICE_INVALID_ARGUMENT', /headers: a/],
    [mq.publish('a', 1, { headers: { a: 'x'.repeat(8_000) } }), 'SLUICE_INVALID_ARGUMENT', /8000/],
    [mq.publish('a', 1, { time: new Date(Number.NaN) }), 'SLUICE_INVALID_ARGUMENT', /time/],
    [mq.publish('a', 1, { timeout: 'soon' }), 'SLUICE_INVALID_ARGUMENT', /timeout/],
  ]
  for (const [result, code, pattern] of wrong) await assert.rejects(result, hasCode(code, pattern))
  await good
  await mq.publish('a', Buffer.alloc(1_024), { mandatory: false })
  assert.equal(connected.losses.length, 0)
})

rabbit('an exchange that is not there is said to the one who named it; the others go through', async () => {
  await using connected = await connectRabbit(at(broker))
  const { mq } = connected
  for (let round = 0; round < 5; round += 1) {
    const results = Array.from({ length: 50 }, (_, index) =>
      mq.publish('a', index, { mandatory: false, ...(index === 25 ? { exchange: 'no-such-exchange' } : {}) }),
    )
    const settled = await Promise.allSettled(results)
    for (const [index, result] of settled.entries()) {
      if (index !== 25)
        assert.equal(result.status, 'fulfilled', String((result as PromiseRejectedResult).reason))
      else
        assert.ok(hasCode('SLUICE_UNROUTABLE', /no-such-exchange/)((result as PromiseRejectedResult).reason))
    }
  }
  assert.equal(connected.losses.length, 0)
})

rabbit('an exchange of ours that somebody deleted is declared again', async () => {
  const exchange = unique('ours')
  await using connected = await connectRabbit(at(broker, { exchange }))
  await using other = await foreigner(broker)
  await connected.mq.publish('a', 1, { mandatory: false })
  await other.exchangeDelete({ exchange })
  await Promise.all(Array.from({ length: 20 }, () => connected.mq.publish('a', 1, { mandatory: false })))
  await other.exchangeDeclare({ exchange, passive: true })
})

rabbit('an exchange of another kind says what differs', async () => {
  const exchange = unique('fanout')
  await using other = await foreigner(broker)
  await other.exchangeDeclare({ exchange, type: 'fanout', durable: true })
  await using connected = await connectRabbit(at(broker, { exchange }), { idle: true })
  await assert.rejects(
    connected.connect(),
    hasCode(
      'SLUICE_CONFLICT',
      /inequivalent arg 'type' for exchange.*received 'topic' but current is 'fanout'/,
    ),
  )
  await other.exchangeDelete({ exchange })
  await connected.connect()
})

rabbit('a topic exchange of others serves, and only delays are refused', async () => {
  const exchange = unique('theirs')
  await using other = await foreigner(broker)
  await other.exchangeDeclare({ exchange, type: 'topic', durable: true })
  await using connected = await connectRabbit(at(broker, { exchange }))
  await connected.mq.publish('a', 1, { mandatory: false })
  await assert.rejects(
    connected.mq.publish('a', 1, { delay: 100 }),
    hasCode('SLUICE_UNSUPPORTED', /not ours/),
  )
})

rabbit('what is not confirmed is bounded by count and by bytes, and the rest waits', async () => {
  await using proxy = await proxied()
  await using connected = await connectRabbit(
    at(broker, { maxOutstanding: 8, maxOutstandingBytes: '4kb', maxWaiting: 20 }, proxy.address),
  )
  const facts = () =>
    connected.component.inspect()['publishing'] as {
      outstanding: number
      outstandingBytes: number
      waiting: number
    }
  proxy.blackhole('down')
  const small = Array.from({ length: 28 }, () => connected.mq.publish('a', 1, { mandatory: false }))
  await until(() => facts().outstanding === 8)
  await assert.rejects(connected.mq.publish('a', 1), hasCode('SLUICE_POOL_FULL'))
  proxy.heal()
  await Promise.all(small)
  proxy.blackhole('down')
  const large = Array.from({ length: 8 }, () =>
    connected.mq.publish('a', Buffer.alloc(2_000), { mandatory: false }),
  )
  await until(() => facts().waiting === 5)
  assert.equal(facts().outstanding, 3)
  assert.equal(facts().outstandingBytes, 6_000)
  proxy.heal()
  await Promise.all(large)
  assert.deepEqual(facts(), { outstanding: 0, outstandingBytes: 0, waiting: 0, blocked: null })
})

rabbit('a large message arrives byte for byte', async () => {
  await using connected = await connectRabbit(at(broker))
  const queue = unique('large')
  const inbox = new Inbox<Buffer>()
  const subscription = connected.mq.subscribe(queue, queue, ({ bytes }) => inbox.add(bytes))
  await subscription.live
  for (const size of [0, 131_063, 131_064, 131_065, 3_000_000]) {
    const body = Buffer.alloc(size, 'sluice')
    await connected.mq.publish(queue, body)
    const got = await inbox.until((items) => items.length > 0)
    assert.ok(body.equals(got[0]!), `${size} bytes`)
    inbox.items.length = 0
  }
})
