/** A bad network between the component and a real broker. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSluiceError } from '../../../src/core/errors.ts'
import { eventually } from '../../support/eventually.ts'
import { connectKafka, hasCode, missingBroker, ownName, proxied, removeTopics, Seen } from './support.ts'

const skip = await missingBroker()
const TIMEOUT = 500

/** Calls again until the breaker lets it through and the broker answers. */
async function untilWorks(call: () => PromiseLike<unknown>): Promise<void> {
  await eventually(() =>
    Promise.resolve(call()).then(
      () => true,
      (error: unknown) => (assert.ok(isSluiceError(error)), undefined),
    ),
  )
}

/** A component that reaches the broker through the proxy alone. */
async function behindProxy(options: Parameters<typeof connectKafka>[0] = {}) {
  const { proxy, brokers } = await proxied()
  const topic = ownName()
  const open = await connectKafka({ brokers, requestTimeout: TIMEOUT, dialTimeout: '1s', ...options }).catch(
    async (error: unknown) => {
      await proxy.close()
      throw error
    },
  )
  await open.kafka.createTopic(topic, { partitions: 2 })
  return {
    proxy,
    open,
    topic,
    api: open.kafka,
    group: ownName(),
    async [Symbol.asyncDispose]() {
      proxy.heal()
      await proxy.accept()
      await open.close()
      await proxy.close()
      await removeTopics(topic)
    },
  }
}

test(
  'a broker that is silent fails every call at its deadline, and calls work again when it speaks',
  { skip },
  async () => {
    await using at = await behindProxy()
    await at.api.publish(at.topic, 'before')
    at.proxy.blackhole()
    const startedAt = performance.now()
    const calls = await Promise.allSettled([
      ...Array.from({ length: 50 }, () => at.api.publish(at.topic, 'x')),
      at.api.publishBatch(at.topic, [{ value: 'y' }]).results[0]!,
      at.api.topics(),
      at.api.lag(at.topic),
    ])
    const took = performance.now() - startedAt
    for (const call of calls)
      assert.ok(
        call.status === 'rejected' &&
          hasCode(
            'SLUICE_TIMEOUT',
            'SLUICE_OUTCOME_UNKNOWN',
            'SLUICE_UNAVAILABLE',
            'SLUICE_BREAKER_OPEN',
          )(call.reason),
      )
    // A loaded machine may be late by itself; the promise is 100 ms.
    assert.ok(took < TIMEOUT + 1_000, `settled after ${took} ms`)
    at.proxy.heal()
    await untilWorks(() => at.api.publish(at.topic, 'after'))
  },
)

test('resets in a row leave nothing open, and what was acknowledged is stored', { skip }, async () => {
  await using at = await behindProxy()
  await at.api.publish(at.topic, 'warm')
  const acknowledged: string[] = []
  let unknown = 0
  for (let round = 0; round < 20; round++) {
    const text = `m${round}`
    const publishing = at.api.publish(at.topic, text).then(
      () => void acknowledged.push(text),
      () => void (unknown += 1),
    )
    at.proxy.reset()
    await publishing
  }
  const seen = new Seen<string>()
  const consumption = at.api.consume(at.topic, (message) => seen.add(message.text()), {
    group: at.group,
    retry: [],
  })
  await seen.when((items) => acknowledged.every((text) => items.includes(text)))
  await consumption.stop()
  assert.ok(acknowledged.length + unknown === 20)
  await at.open.check()
  // Each client has one to the address that it was given and one to the broker that it was told of.
  const open = at.proxy.connections.length
  assert.ok(open <= 4, `${open} connections are open`)
})

test('a consumer whose broker is cut off without a word finds out, and reads on', { skip }, async () => {
  await using at = await behindProxy()
  const seen = new Seen<string>()
  await using consumption = at.api.consume(at.topic, (message) => seen.add(message.text()), {
    group: at.group,
    retry: [],
    sessionTimeout: '1s',
    commitInterval: '50ms',
  })
  await consumption.ready
  await at.api.publish(at.topic, 'before')
  await seen.count(1)
  at.proxy.blackhole()
  const cutAt = performance.now()
  while (consumption.stats().rebuilds === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(performance.now() - cutAt < 15_000)
  at.proxy.heal()
  await using direct = await connectKafka()
  await direct.kafka.publish(at.topic, 'after')
  await seen.when((items) => items.includes('after'))
})

test('slow, sliced and coalesced answers are read right', { skip }, async () => {
  await using at = await behindProxy({ requestTimeout: '20s' })
  at.proxy.slice(1)
  const { errors } = await at.api
    .publishBatch(
      at.topic,
      Array.from({ length: 50 }, (_, index) => ({ value: String(index) })),
    )
    .waitAll()
  assert.deepEqual(errors.filter(Boolean), [])
  at.proxy.heal()
  at.proxy.latency('50ms', { jitter: '40ms' })
  const seen = new Seen<string>()
  await using _consumption = at.api.consume(at.topic, (message) => seen.add(message.text()), {
    group: at.group,
    retry: [],
  })
  await Promise.all(Array.from({ length: 20 }, (_, index) => at.api.publish(at.topic, `late${index}`)))
  await seen.count(70)
  assert.equal(new Set(seen.items).size, 70)
})

test('garbage in an answer ends no process, and the component heals', { skip }, async () => {
  await using at = await behindProxy()
  for (let round = 0; round < 8; round++) {
    at.proxy.corrupt({ every: 20 + round * 13, direction: 'down' })
    await Promise.allSettled([at.api.publish(at.topic, 'x'), at.api.topics()]).then((results) => {
      for (const result of results)
        if (result.status === 'rejected') assert.ok(isSluiceError(result.reason), String(result.reason))
    })
  }
  at.proxy.heal()
  at.proxy.reset()
  await untilWorks(() => at.api.publish(at.topic, 'after'))
})

test(
  'an acknowledgement that is lost is an unknown outcome; repeated with the same id it is known by it',
  { skip },
  async () => {
    await using at = await behindProxy()
    await at.api.publish(at.topic, 'warm')
    const event = { type: 'order.paid', id: 'order-7' }
    at.proxy.drop('down')
    await assert.rejects(
      at.api.publish(at.topic, { order: 7 }, { key: '7', event }),
      hasCode('SLUICE_OUTCOME_UNKNOWN', 'SLUICE_TIMEOUT'),
    )
    at.proxy.heal()
    at.proxy.reset()
    await untilWorks(() => at.api.publish(at.topic, { order: 7 }, { key: '7', event }))
    const effects = new Set<string>()
    const seen = new Seen<string>()
    await using _consumption = at.api.consume(
      at.topic,
      (message) => {
        const id = message.event()?.id
        if (id !== undefined) effects.add(id)
        seen.add(message.text())
      },
      { group: at.group, retry: [] },
    )
    await seen.when((items) => items.filter((text) => text.includes('order')).length >= 2)
    assert.deepEqual([...effects], ['order-7'])
  },
)

test('a slow way holds the publisher back within its bounds', { skip }, async () => {
  await using at = await behindProxy({ requestTimeout: '2s', maxWaitingBytes: '200kb', maxWaiting: 1_000 })
  await at.api.publish(at.topic, 'warm')
  at.proxy.bandwidth(50_000, { direction: 'up' })
  const results = await Promise.allSettled(
    Array.from({ length: 200 }, () => at.api.publish(at.topic, 'x'.repeat(5_000))),
  )
  const refused = results.filter(
    (result) =>
      result.status === 'rejected' &&
      isSluiceError(result.reason) &&
      result.reason.code === 'SLUICE_POOL_FULL',
  )
  assert.ok(refused.length >= 150, `${refused.length} were refused`)
})
