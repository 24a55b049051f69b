import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SluiceError } from '../../../src/core/errors.ts'
import type { KafkaMessage } from '../../../src/components/kafka/index.ts'
import { deadTopic, redrivenTopic, retryTopic } from '../../../src/components/kafka/consume/names.ts'
import { missingBroker, Seen, stage } from './support.ts'

const skip = await missingBroker()
const quick = { retry: ['20ms', '40ms'], commitInterval: '20ms' } as const

test('a message that fails goes through the retry topics, while others go on', { skip }, async () => {
  await using at = await stage()
  const seen = new Seen<string>()
  await using consumption = at.api.consume(
    at.topic,
    (message) => {
      seen.add(`${message.text()} ${message.attempt} ${message.topic === at.topic}`)
      if (message.text() === 'bad' && message.attempt < 3) throw new Error('not yet')
    },
    { ...quick, group: at.group },
  )
  await at.api
    .publishBatch(at.topic, [
      { key: 'k', value: 'bad' },
      { key: 'k', value: 'good' },
    ])
    .waitAll()
  await seen.count(4)
  assert.deepEqual([...seen.items].sort(), ['bad 1 true', 'bad 2 false', 'bad 3 false', 'good 1 true'])
  while (consumption.stats().handled < 2) await new Promise((resolve) => setImmediate(resolve))
  const { failed, retried, dead } = consumption.stats()
  assert.deepEqual({ failed, retried, dead }, { failed: 2, retried: 2, dead: 0 })
  assert.deepEqual(await at.api.deadLetters(at.topic, { group: at.group }), [])
})

test(
  'what used up its attempts is a dead letter with bytes, reason and origin; a redrive hands it to its group alone',
  { skip },
  async () => {
    await using at = await stage({ partitions: 2 })
    const bytes = Buffer.from([255, 0, 13, 10])
    let heal = false
    const seen = new Seen<KafkaMessage>()
    const other = new Seen<string>()
    await using consumption = at.api.consume(
      at.topic,
      (message) => {
        if (!heal) throw new SluiceError('SLUICE_CONFLICT', 'password=hunter2 is refused')
        seen.add(message)
      },
      { ...quick, group: at.group },
    )
    await using _other = at.api.consume(at.topic, (message) => other.add(message.topic), {
      retry: [],
      group: `${at.group}.other`,
    })
    await at.api.publish(at.topic, bytes, { key: 'k', headers: { mine: 'yes' }, partition: 1 })
    while (consumption.stats().dead < 1) await new Promise((resolve) => setImmediate(resolve))
    const letters = await at.api.deadLetters(at.topic, { group: at.group })
    assert.equal(letters.length, 1)
    const [letter] = letters
    assert.deepEqual(letter?.value, bytes)
    assert.equal(letter?.key?.toString(), 'k')
    assert.deepEqual(letter?.headers, { mine: 'yes' })
    assert.deepEqual(
      { topic: letter?.topic, partition: letter?.partition, offset: letter?.offset },
      { topic: at.topic, partition: 1, offset: 0n },
    )
    assert.equal(letter?.code, 'SLUICE_CONFLICT')
    assert.equal(letter?.attempts, 3)
    assert.match(letter?.reason ?? '', /is refused/)
    assert.doesNotMatch(letter?.reason ?? '', /hunter2/)
    heal = true
    assert.equal(await at.api.redrive(at.topic, { group: at.group }), 1)
    const [message] = await seen.count(1)
    assert.equal(message?.topic, redrivenTopic(at.topic, at.group))
    assert.equal(message?.attempt, 1)
    assert.deepEqual(message?.value, bytes)
    assert.equal(message?.headers['mine'], 'yes')
    assert.deepEqual(await at.api.deadLetters(at.topic, { group: at.group }), [])
    assert.equal(await at.api.redrive(at.topic, { group: at.group }), 0)
    assert.deepEqual(await other.count(1), [at.topic])
  },
)

test('data that does not fit is a dead letter at once', { skip }, async () => {
  await using at = await stage()
  await using consumption = at.api.consume(at.topic, (message) => void message.json(), {
    ...quick,
    group: at.group,
    attempts: 5,
  })
  await at.api.publish(at.topic, '{ broken')
  while (consumption.stats().dead < 1) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(consumption.stats().failed, 1)
  const [letter] = await at.api.deadLetters(at.topic, { group: at.group })
  assert.equal(letter?.code, 'SLUICE_INVALID_DATA')
  assert.equal(letter?.value?.toString(), '{ broken')
})

test('attempts in place keep the order of the key, and only its own waits', { skip }, async () => {
  await using at = await stage()
  const seen = new Seen<string>()
  let tries = 0
  await using _consumption = at.api.consume(
    at.topic,
    async (message) => {
      if (message.text() === 'a1' && ++tries < 4) throw new Error('again')
      seen.add(message.text())
    },
    { group: at.group, deadLetter: false, commitInterval: '20ms' },
  )
  await at.api
    .publishBatch(
      at.topic,
      ['a1', 'a2', 'b1', 'b2'].map((value) => ({ key: value[0]!, value })),
    )
    .waitAll()
  assert.deepEqual(await seen.count(4), ['b1', 'b2', 'a1', 'a2'])
  assert.deepEqual(
    (await at.api.topics()).filter((name) => name.startsWith(at.topic)),
    [at.topic],
  )
})

test('a handler that does not end has its signal aborted and its attempt failed', { skip }, async () => {
  await using at = await stage()
  const reasons = new Seen<string>()
  await using consumption = at.api.consume(
    at.topic,
    (message) => {
      message.signal.addEventListener('abort', () => reasons.add((message.signal.reason as SluiceError).code))
      return new Promise(() => {})
    },
    { group: at.group, retry: [], timeout: '60ms', concurrency: 1 },
  )
  await at.api.publishBatch(at.topic, [{ value: 'a' }, { value: 'b' }]).waitAll()
  assert.deepEqual(await reasons.count(2), ['SLUICE_TIMEOUT', 'SLUICE_TIMEOUT'])
  while (consumption.stats().dead < 2) await new Promise((resolve) => setImmediate(resolve))
  const letters = await at.api.deadLetters(at.topic, { group: at.group })
  assert.deepEqual(
    letters.map(({ code }) => code),
    ['SLUICE_TIMEOUT', 'SLUICE_TIMEOUT'],
  )
})

test('a stop while a retry waits loses nothing: the message comes again', { skip }, async () => {
  await using at = await stage()
  const first = new Seen<string>()
  const options = { group: at.group, retry: ['1h'], commitInterval: '20ms' }
  const one = at.api.consume(
    at.topic,
    (message) => {
      first.add(message.topic)
      throw new Error('no')
    },
    { ...options, attempts: 1_000 },
  )
  await at.api.publish(at.topic, 'x')
  await first.count(2)
  await one.stop()
  assert.equal((await at.api.lag(at.topic, { group: at.group })).total, 1n)
  const second = new Seen<string>()
  await using _two = at.api.consume(at.topic, (message) => second.add(message.text()), options)
  assert.deepEqual(await second.count(1), ['x'])
})

test('the topics of failures are as wide as theirs', { skip }, async () => {
  await using at = await stage({ partitions: 3 })
  await using consumption = at.api.consume(at.topic, () => {}, { ...quick, group: at.group })
  await consumption.ready
  const names = [deadTopic, redrivenTopic].map((name) => name(at.topic, at.group))
  for (const name of [...names, retryTopic(at.topic, at.group, 1), retryTopic(at.topic, at.group, 2)])
    assert.equal((await at.api.lag(name, { group: at.group })).partitions.length, 3)
})
