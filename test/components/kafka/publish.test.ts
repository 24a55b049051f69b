import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Consumption, KafkaMessage } from '../../../src/components/kafka/index.ts'
import { hasCode, missingBroker, Seen, stage, type Stage } from './support.ts'

const skip = await missingBroker()

/** Reads the topic from its beginning. */
async function readAll(at: Stage, count: number): Promise<readonly KafkaMessage[]> {
  const seen = new Seen<KafkaMessage>()
  await using _reader: Consumption = at.api.consume(at.topic, (message) => seen.add(message), {
    group: at.group,
    retry: [],
  })
  return await seen.count(count)
}

test('what is published is read with its key, headers, time and bytes', { skip }, async () => {
  await using at = await stage()
  const bytes = Buffer.from([0, 1, 255, 128, 10, 13])
  const timestamp = new Date('2024-05-06T07:08:09.010Z')
  const where = await at.api.publish(at.topic, bytes, {
    key: 'ключ',
    headers: { plain: 'text', raw: new Uint8Array([7, 0]) },
    timestamp,
  })
  assert.deepEqual(where, { topic: at.topic, partition: 0, offset: 0n })
  await at.api.publish(at.topic, { a: ['ü', 1] })
  await at.api.publish(at.topic, null, { key: 'gone' })
  await at.api.publish(at.topic, '')
  const [first, second, third, fourth] = await readAll(at, 4)
  assert.equal(first?.key, 'ключ')
  assert.deepEqual(first?.value, bytes)
  assert.equal(first?.timestamp, timestamp.getTime())
  assert.deepEqual(first?.headerEntries, [
    ['plain', Buffer.from('text')],
    ['raw', Buffer.from([7, 0])],
  ])
  assert.deepEqual(second?.json(), { a: ['ü', 1] })
  assert.equal(second?.key, undefined)
  assert.equal(third?.value, undefined)
  assert.equal(third?.key, 'gone')
  assert.deepEqual(fourth?.value, Buffer.alloc(0))
  assert.throws(() => fourth?.json(), hasCode('SLUICE_INVALID_DATA'))
})

test('a key is always in one partition, the one that Java clients choose', { skip }, async () => {
  await using at = await stage({ partitions: 7 })
  const places = new Map<string, Set<number>>()
  for (let round = 0; round < 3; round++) {
    const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`)
    const { values } = await at.api
      .publishBatch(
        at.topic,
        keys.map((key) => ({ key, value: key })),
      )
      .waitAll()
    values.forEach((value, index) => {
      const key = keys[index]!
      places.set(key, (places.get(key) ?? new Set()).add(value!.partition))
    })
  }
  assert.ok([...places.values()].every((partitions) => partitions.size === 1))
  assert.ok(new Set([...places.values()].flatMap((partitions) => [...partitions])).size > 3)
  // murmur2("key-0") etc. modulo 7, as org.apache.kafka.common.utils.Utils.murmur2 gives it for "21": -973932308.
  const { partition } = await at.api.publish(at.topic, 'x', { key: '21' })
  assert.equal(partition, (-973_932_308 & 0x7fffffff) % 7)
})

test(
  'twenty concurrent publishers to one partition have as many distinct offsets as messages',
  { skip },
  async () => {
    for (const idempotent of [false, true]) {
      await using at = await stage({ idempotent, batchSize: 25 })
      const offsets = new Set<bigint>()
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const { values, errors } = await at.api
            .publishBatch(
              at.topic,
              Array.from({ length: 50 }, () => ({ value: 'x' })),
            )
            .waitAll()
          assert.deepEqual(errors.filter(Boolean), [])
          for (const value of values) offsets.add(value!.offset)
        }),
      )
      for (const { offset } of await Promise.all(
        Array.from({ length: 200 }, () => at.api.publish(at.topic, 'y')),
      ))
        offsets.add(offset)
      assert.equal(offsets.size, 1_200)
      assert.equal((await at.api.lag(at.topic)).total, 1_200n)
    }
  },
)

test('every compression is read again', { skip }, async () => {
  for (const compression of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
    await using at = await stage({ compression })
    const messages = Array.from({ length: 200 }, (_, index) => ({
      value: `${index} ${'repeat '.repeat(20)}`,
    }))
    const { errors } = await at.api.publishBatch(at.topic, messages).waitAll()
    assert.deepEqual(errors.filter(Boolean), [])
    const read = await readAll(at, 200)
    assert.deepEqual(
      read.map((message) => message.text()),
      messages.map(({ value }) => value),
      compression,
    )
  }
})

test('an envelope travels as headers, and is read again', { skip }, async () => {
  await using at = await stage()
  await at.api.publish(
    at.topic,
    { id: 7 },
    { event: { type: 'post.created', subject: '7', schemaversion: 2 } },
  )
  await at.api.publish(at.topic, 'of others')
  const [message, other] = await readAll(at, 2)
  const event = message?.event()
  assert.equal(event?.type, 'post.created')
  assert.equal(event?.source, '/test')
  assert.equal(event?.subject, '7')
  assert.equal(event?.schemaversion, 2)
  assert.match(event?.id ?? '', /^[0-9a-f-]{36}$/)
  assert.equal(message?.headers['ce_specversion'], '1.0')
  assert.equal(message?.headers['content-type'], 'application/json')
  assert.equal(other?.event(), undefined)
})

test('wrong messages are refused before anything is sent, and fail alone in a batch', { skip }, async () => {
  await using at = await stage({ maxMessageBytes: '2kb', batchBytes: '8kb' })
  const { api, topic } = at
  await assert.rejects(api.publish('no spaces', 'x'), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(api.publish('', 'x'), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(api.publish(topic, 'x'.repeat(3_000)), hasCode('SLUICE_TOO_LARGE'))
  await assert.rejects(api.publish(topic, (() => 1) as never), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(api.publish(topic, { big: 1n } as never), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(api.publish(topic, 'x', { partition: -1 }), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(api.publish(topic, 'x', { partition: 1 }), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(api.publish(topic, 'x', { timestamp: -1 }), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(api.publish(topic, 'x', { event: { type: '' } }), hasCode('SLUICE_INVALID_ARGUMENT'))
  const { values, errors } = await api
    .publishBatch(topic, [{ value: 'a' }, { value: 'x'.repeat(3_000) }, { value: 'b' }])
    .waitAll()
  assert.equal(values[0]?.offset, 0n)
  assert.equal(values[2]?.offset, 1n)
  assert.ok(hasCode('SLUICE_TOO_LARGE')(errors[1]))
})

test('a batch larger than one request may hold goes in several', { skip }, async () => {
  await using at = await stage({ batchSize: 100, batchBytes: '20kb', maxMessageBytes: '10kb' })
  const messages = Array.from({ length: 1_000 }, (_, index) => ({
    key: 'one',
    value: `${index}:${'x'.repeat(500)}`,
  }))
  const { values, errors } = await at.api.publishBatch(at.topic, messages).waitAll()
  assert.deepEqual(errors.filter(Boolean), [])
  assert.deepEqual(
    values.map((value) => value?.offset),
    messages.map((_, index) => BigInt(index)),
  )
  assert.equal((await at.api.publishBatch(at.topic, []).waitAll()).values.length, 0)
})

test('a topic that is not there fails its own messages and no others', { skip }, async () => {
  await using at = await stage()
  const [good, bad] = await Promise.allSettled([
    at.api.publish(at.topic, 'x'),
    at.api.publish(`${at.topic}.missing`, 'x'),
  ])
  assert.equal(good.status, 'fulfilled')
  assert.ok(bad.status === 'rejected' && hasCode('SLUICE_QUERY')(bad.reason))
})

test('publishers beyond the limit are refused, and none is lost', { skip }, async () => {
  await using at = await stage({ maxWaiting: 50, batchSize: 5 })
  const results = await Promise.allSettled(Array.from({ length: 500 }, () => at.api.publish(at.topic, 'x')))
  const stored = results.filter(({ status }) => status === 'fulfilled').length
  for (const result of results)
    if (result.status === 'rejected') assert.ok(hasCode('SLUICE_POOL_FULL')(result.reason))
  assert.ok(stored >= 50 && stored < 500, `${stored} were stored`)
  assert.equal((await at.api.lag(at.topic)).total, BigInt(stored))
})

test('topics are made once, listed and deleted', { skip }, async () => {
  await using at = await stage()
  assert.equal(await at.api.createTopic(at.topic), false)
  assert.equal(
    await at.api.createTopic(`${at.topic}.b`, { partitions: 3, settings: { 'retention.ms': '1000' } }),
    true,
  )
  assert.ok((await at.api.topics()).includes(`${at.topic}.b`))
  await at.api.deleteTopics([`${at.topic}.b`])
  // The broker says yes before it has told itself.
  while ((await at.api.topics()).includes(`${at.topic}.b`))
    await new Promise((resolve) => setImmediate(resolve))
  await assert.rejects(
    at.api.createTopic(`${at.topic}.c`, { replicas: 9 }),
    hasCode('SLUICE_INVALID_ARGUMENT'),
  )
})
