import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode, missingBroker, Seen, stage } from './support.ts'

const skip = await missingBroker()
const plain = { retry: [], commitInterval: '20ms' } as const

test('handlers run in parallel over keys, and one after another within a key', { skip }, async () => {
  await using at = await stage()
  const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)
  const messages = Array.from({ length: 1_000 }, (_, index) => ({
    key: keys[index % 20]!,
    value: String(index),
  }))
  await at.api.publishBatch(at.topic, messages).waitAll()
  const seen = new Seen<number>()
  const running = new Map<string, number>()
  let peak = 0
  let overlaps = 0
  await using consumption = at.api.consume(
    at.topic,
    async (message) => {
      const key = message.key!
      if (running.has(key)) overlaps += 1
      running.set(key, 1)
      peak = Math.max(peak, running.size)
      await new Promise((resolve) => setImmediate(resolve))
      running.delete(key)
      seen.add(Number(message.text()))
    },
    { ...plain, group: at.group, concurrency: 8 },
  )
  const order = await seen.count(1_000)
  assert.equal(overlaps, 0)
  assert.equal(peak, 8)
  for (const [index] of keys.entries()) {
    const own = order.filter((value) => value % 20 === index)
    assert.deepEqual(
      own,
      [...own].sort((a, b) => a - b),
    )
    assert.equal(own.length, 50)
  }
  await consumption.stop()
  assert.equal((await at.api.lag(at.topic, { group: at.group })).total, 0n)
})

test("order: 'partition' runs one at a time in each partition", { skip }, async () => {
  await using at = await stage()
  await at.api
    .publishBatch(
      at.topic,
      Array.from({ length: 100 }, (_, index) => ({ value: String(index) })),
    )
    .waitAll()
  const seen = new Seen<number>()
  let running = 0
  await using _consumption = at.api.consume(
    at.topic,
    async (message) => {
      assert.equal(running++, 0)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      seen.add(Number(message.text()))
    },
    { ...plain, group: at.group, order: 'partition' },
  )
  assert.deepEqual(
    await seen.count(100),
    Array.from({ length: 100 }, (_, index) => index),
  )
})

test('what is committed is the offset before the first message that is not finished', { skip }, async () => {
  await using at = await stage()
  await at.api
    .publishBatch(
      at.topic,
      Array.from({ length: 10 }, (_, index) => ({ value: String(index) })),
    )
    .waitAll()
  const gate = Promise.withResolvers<void>()
  const seen = new Seen<string>()
  const first = at.api.consume(
    at.topic,
    async (message) => {
      if (message.text() === '3') await gate.promise
      seen.add(message.text())
    },
    { ...plain, group: at.group, concurrency: 10 },
  )
  await seen.count(9)
  const committed = async (): Promise<bigint> =>
    (await at.api.lag(at.topic, { group: at.group })).partitions[0]!.committed
  while ((await committed()) < 3n) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(await committed(), 3n)
  gate.resolve()
  await first.stop()
  assert.equal(await committed(), 10n)
})

test(
  'a stop gives back what waits, commits what was finished, and the next goes on there',
  { skip },
  async () => {
    await using at = await stage({ partitions: 2 })
    const all = Array.from({ length: 300 }, (_, index) => String(index))
    await at.api
      .publishBatch(
        at.topic,
        all.map((value) => ({ value, key: value })),
      )
      .waitAll()
    const first = new Seen<string>()
    const options = { ...plain, group: at.group, concurrency: 4 }
    const one = at.api.consume(
      at.topic,
      async (message) => {
        await new Promise((resolve) => setImmediate(resolve))
        first.add(message.text())
      },
      options,
    )
    await first.count(40)
    await one.stop()
    const handled = first.items.length
    assert.ok(handled < 300)
    const second = new Seen<string>()
    await using _two = at.api.consume(at.topic, (message) => second.add(message.text()), options)
    await second.when((items) => new Set([...first.items, ...items]).size === 300)
    // Handlers were awaited and everything of a partition was handled in order of arrival: little comes twice.
    assert.ok(
      handled + second.items.length - 300 <= 4 * 2,
      `${handled + second.items.length - 300} came twice`,
    )
  },
)

test('fetching pauses above the limit of bytes, and goes on below it', { skip }, async () => {
  await using at = await stage()
  const value = 'x'.repeat(10_000)
  await at.api
    .publishBatch(
      at.topic,
      Array.from({ length: 400 }, () => ({ value })),
    )
    .waitAll()
  const gate = Promise.withResolvers<void>()
  const seen = new Seen<number>()
  await using consumption = at.api.consume(
    at.topic,
    async (message) => {
      await gate.promise
      seen.add(message.value!.length)
    },
    { ...plain, group: at.group, concurrency: 2, maxBufferedBytes: 200_000 },
  )
  await consumption.ready
  while (consumption.stats().heldBytes < 200_000) await new Promise((resolve) => setImmediate(resolve))
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(consumption.stats().heldBytes < 250_000, `${consumption.stats().heldBytes} bytes are held`)
  gate.resolve()
  await seen.count(400)
})

test('pause and resume, and a consumer that was made before the connect', { skip }, async () => {
  await using at = await stage()
  const seen = new Seen<string>()
  await using consumption = at.api.consume(at.topic, (message) => seen.add(message.text()), {
    ...plain,
    group: at.group,
  })
  await consumption.ready
  consumption.pause()
  await at.api.publish(at.topic, 'a')
  consumption.resume()
  await seen.count(1)
  assert.equal(consumption.stats().handled, 1)
})

test('seek goes to the beginning, to the end, to a time and to an offset', { skip }, async () => {
  await using at = await stage()
  const base = Date.UTC(2024, 0, 1)
  await at.api
    .publishBatch(
      at.topic,
      Array.from({ length: 10 }, (_, index) => ({ value: String(index), timestamp: base + index * 1_000 })),
    )
    .waitAll()
  const seen = new Seen<string>()
  const consumption = at.api.consume(at.topic, (message) => seen.add(message.text()), {
    ...plain,
    group: at.group,
  })
  await seen.count(10)
  for (const [position, from] of [
    ['beginning', 0],
    [{ time: new Date(base + 6_500) }, 7],
    [{ offsets: { 0: 4n } }, 4],
  ] as const) {
    seen.items.length = 0
    await consumption.seek(position)
    const items = await seen.count(10 - from)
    assert.equal(items[0], String(from))
  }
  seen.items.length = 0
  await consumption.seek('end')
  await at.api.publish(at.topic, 'new')
  assert.deepEqual(await seen.count(1), ['new'])
  await assert.rejects(at.api.seek(at.topic, 'beginning', { group: at.group }), hasCode('SLUICE_CONFLICT'))
  await consumption.stop()
  await at.api.seek(at.topic, 'beginning', { group: at.group })
  assert.equal((await at.api.lag(at.topic, { group: at.group })).total, 11n)
})

test('a new group begins where it is told to', { skip }, async () => {
  await using at = await stage()
  const base = Date.UTC(2024, 0, 1)
  await at.api
    .publishBatch(
      at.topic,
      Array.from({ length: 4 }, (_, index) => ({ value: String(index), timestamp: base + index * 1_000 })),
    )
    .waitAll()
  const late = new Seen<string>()
  await using _late = at.api.consume(at.topic, (message) => late.add(message.text()), {
    ...plain,
    group: `${at.group}.late`,
    from: { time: base + 2_000 },
  })
  assert.deepEqual(await late.count(2), ['2', '3'])
  const end = new Seen<string>()
  await using reader = at.api.consume(at.topic, (message) => end.add(message.text()), {
    ...plain,
    group: `${at.group}.end`,
    from: 'end',
  })
  await reader.ready
  await at.api.publish(at.topic, '4')
  // The position "end" is looked up by its first fetch, so what was published before that may be missed.
  while (end.items.length === 0) await at.api.publish(at.topic, '5')
  assert.ok(['4', '5'].includes(end.items[0]!))
})

test('wrong options are refused at the call', { skip }, async () => {
  await using at = await stage()
  const handler = (): void => {}
  for (const options of [
    { group: '' },
    { group: 'no spaces' },
    { concurrency: 0 },
    { attempts: 0 },
    { retry: ['1s', '1s', '1s', '1s', '1s', '1s'] },
    { retry: ['soon'] },
    { timeout: 'never' },
    { order: 'none' as never },
  ])
    assert.throws(() => at.api.consume(at.topic, handler, options), hasCode('SLUICE_INVALID_ARGUMENT'))
  assert.throws(() => at.api.consume([], handler), hasCode('SLUICE_INVALID_ARGUMENT'))
  assert.throws(() => at.api.consume('a b', handler), hasCode('SLUICE_INVALID_ARGUMENT'))
})

test('a topic that comes later is read from then on', { skip }, async () => {
  await using at = await stage()
  const topic = `${at.topic}.later`
  const seen = new Seen<string>()
  await using consumption = at.api.consume(topic, (message) => seen.add(message.text()), {
    ...plain,
    group: at.group,
  })
  while (consumption.stats().rebuilds === 0) await new Promise((resolve) => setImmediate(resolve))
  await at.api.createTopic(topic)
  await at.api.publish(topic, 'x')
  assert.deepEqual(await seen.count(1), ['x'])
})
