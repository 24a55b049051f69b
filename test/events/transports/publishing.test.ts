/** How many events are on their way to a broker at once, and what is not sent behind one that failed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Kafka, KafkaRecord } from '../../../src/components/kafka/index.ts'
import type { RabbitMQ } from '../../../src/components/rabbitmq/index.ts'
import { AsyncResult } from '../../../src/core/async-result.ts'
import { BatchResult } from '../../../src/core/batch-result.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { SluiceError } from '../../../src/core/errors.ts'
import type { EventBroker, WireEvent } from '../../../src/events/transports/broker.ts'
import { kafkaBroker } from '../../../src/events/transports/kafka.ts'
import { rabbitBroker } from '../../../src/events/transports/rabbitmq.ts'

const signal = new AbortController().signal
const options = { timeout: 20_000 }

const wire = (n: number, key: string | undefined, body = 'null'): WireEvent => ({
  id: String(n),
  topic: 'things.made',
  version: 1,
  key,
  headers: {},
  traceparent: undefined,
  requestId: undefined,
  time: new Date(0),
  body,
})

const KEYS = 50
const keyed = (count: number): WireEvent[] =>
  Array.from({ length: count }, (_, n) => wire(n, `key-${n % KEYS}`))

/** Something that was asked of the broker, and is answered by the test. */
interface Asked {
  readonly ids: readonly string[]
  readonly confirm: () => void
  readonly fail: (error: SluiceError) => void
}

/** What is asked is handed over in its order. */
class Requests {
  readonly all: Asked[] = []
  #arrived = Promise.withResolvers<void>()

  add(asked: Asked): void {
    this.all.push(asked)
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers()
  }

  async at(index: number): Promise<Asked> {
    while (this.all[index] === undefined) await this.#arrived.promise
    return this.all[index]
  }
}

const away = new SluiceError('SLUICE_UNAVAILABLE', 'the broker is away', { retryable: true })

function kafkaOf(requests: Requests): EventBroker {
  const kafka: Pick<Kafka, 'publishBatch' | 'createTopic'> = {
    createTopic: () => AsyncResult.resolve(true) as never,
    publishBatch: (_topic, records: readonly KafkaRecord[]) => {
      const ids = records.map(({ event }) => event?.id ?? '')
      const whole = new AsyncResult<readonly never[]>((resolve) => {
        requests.add({
          ids,
          confirm: () => resolve(ids.map(() => ({}) as never)),
          fail: (error) => resolve(ids.map(() => error as never)),
        })
      })
      return BatchResult.ofWhole(whole, records.length)
    },
  }
  return kafkaBroker({
    kafka: kafka as unknown as Kafka,
    topic: 'events',
    partitions: 6,
    clock: systemClock,
    random: Math.random,
  })
}

test(
  'on Kafka requests of different keys go at once, and those of one key one after another',
  options,
  async () => {
    const requests = new Requests()
    const events = keyed(5_000)
    const published = kafkaOf(requests).publish(events, { signal })
    const first = await requests.at(0)
    const second = await requests.at(1)
    const keysOf = ({ ids }: Asked): Set<string> => new Set(ids.map((id) => `key-${Number(id) % KEYS}`))
    const others = keysOf(second)
    assert.ok([...keysOf(first)].every((key) => !others.has(key)))
    assert.equal(requests.all.length, 2)
    for (let at = 0; requests.all.flatMap(({ ids }) => ids).length < events.length; at++) {
      ;(await requests.at(at)).confirm()
      await requests.at(at + 2)
    }
    for (const { confirm } of requests.all) confirm()
    assert.ok((await published).every((error) => error === undefined))
    for (let key = 0; key < KEYS; key++) {
      const sent = requests.all.flatMap(({ ids }) => ids.map(Number)).filter((n) => n % KEYS === key)
      assert.deepEqual(
        sent,
        sent.toSorted((a, b) => a - b),
      )
    }
  },
)

test(
  'on Kafka nothing is sent behind a request that failed which has a key of its, and the others are',
  options,
  async () => {
    const requests = new Requests()
    const events = keyed(5_000)
    const published = kafkaOf(requests).publish(events, { signal })
    const failed = await requests.at(0)
    failed.fail(away)
    for (let at = 1; ; at++) {
      const next = await Promise.race([requests.at(at), published])
      if (!('confirm' in next)) break
      next.confirm()
    }
    const sent = new Set(requests.all.slice(1).flatMap(({ ids }) => ids))
    const errors = await published
    assert.equal(errors.length, events.length)
    assert.equal(errors.filter((error) => error === undefined).length, sent.size)
    assert.ok(sent.size > 0)
    const failedKeys = new Set(failed.ids.map((id) => Number(id) % KEYS))
    for (const [n, error] of errors.entries())
      assert.equal(error, failedKeys.has(n % KEYS) ? away : undefined, `event ${n}`)
  },
)

test('on Kafka few events are one request', options, async () => {
  const requests = new Requests()
  const published = kafkaOf(requests).publish(keyed(400), { signal })
  const only = await requests.at(0)
  assert.equal(only.ids.length, 400)
  only.confirm()
  await published
  assert.equal(requests.all.length, 1)
})

test('on Kafka a request has half a megabyte, and a body of more is one of its own', options, async () => {
  const requests = new Requests()
  const large = 'x'.repeat(200_000)
  const bodies = [large, large, large, large.repeat(4), 'null', 'null']
  const published = kafkaOf(requests).publish(
    bodies.map((body, n) => wire(n, 'k', body)),
    { signal },
  )
  for (const [at, ids] of [['0', '1'], ['2'], ['3'], ['4', '5']].entries()) {
    const request = await requests.at(at)
    assert.deepEqual(request.ids, ids)
    request.confirm()
  }
  await published
})

function rabbitOf(requests: Requests): { readonly broker: EventBroker; readonly unroutable: () => number } {
  let unroutable = 0
  const mq: Pick<RabbitMQ, 'publish'> = {
    publish: (_topic, _data, { id = '' } = {}) => {
      let settle: Asked | undefined
      const result = new AsyncResult<string>((resolve, reject) => {
        settle = { ids: [id], confirm: () => resolve(id), fail: reject }
      })
      requests.add(settle!)
      return result
    },
  }
  const broker = rabbitBroker({
    mq: mq as RabbitMQ,
    acceptUnroutable: true,
    onUnroutable: () => (unroutable += 1),
  })
  return { broker, unroutable: () => unroutable }
}

test(
  'on RabbitMQ a thousand events are on their way, and the next is sent when one is confirmed',
  options,
  async () => {
    const requests = new Requests()
    const published = rabbitOf(requests).broker.publish(keyed(1_500), { signal })
    assert.equal(requests.all.length, 1_000)
    requests.all[7]!.confirm()
    assert.deepEqual((await requests.at(1_000)).ids, ['1000'])
    assert.equal(requests.all.length, 1_001)
    for (let at = 0; at < 1_500; at++) (await requests.at(at)).confirm()
    assert.ok((await published).every((error) => error === undefined))
    assert.deepEqual(
      requests.all.flatMap(({ ids }) => ids),
      keyed(1_500).map(({ id }) => id),
    )
  },
)

test(
  'on RabbitMQ nothing more is sent behind an event that failed, and what is on its way is waited for',
  options,
  async () => {
    const requests = new Requests()
    const published = rabbitOf(requests).broker.publish(keyed(1_500), { signal })
    requests.all[3]!.fail(away)
    for (const [at, { confirm }] of requests.all.entries()) if (at !== 3) confirm()
    const errors = await published
    assert.equal(requests.all.length, 1_000)
    for (const [at, error] of errors.entries())
      assert.equal(error, at === 3 || at >= 1_000 ? away : undefined, `event ${at}`)
  },
)

test('on RabbitMQ an event that no queue takes holds back nothing', options, async () => {
  const requests = new Requests()
  const { broker, unroutable } = rabbitOf(requests)
  const published = broker.publish(keyed(1_200), { signal })
  requests.all[0]!.fail(new SluiceError('SLUICE_UNROUTABLE', 'no queue'))
  requests.all[1]!.fail(new SluiceError('SLUICE_TOO_LARGE', 'too large'))
  for (let at = 0; at < 1_200; at++) (await requests.at(at)).confirm()
  const errors = await published
  assert.equal(unroutable(), 1)
  assert.deepEqual(
    errors.flatMap((error, at) => (error === undefined ? [] : [at])),
    [1],
  )
})

test('on RabbitMQ an abort ends what is on its way, and sends nothing more', options, async () => {
  const requests = new Requests()
  const aborter = new AbortController()
  const published = rabbitOf(requests).broker.publish(keyed(1_500), { signal: aborter.signal })
  requests.all[0]!.confirm()
  const reason = new Error('the shard was lost')
  aborter.abort(reason)
  const errors = await published
  assert.equal(requests.all.length, 1_000)
  assert.ok(errors.slice(1).every((error) => error === reason))
})
