/**
 * Produce and consume through the component, through plain @platformatic/kafka at its best settings, and through
 * kafkajs, on the same broker: the one at KAFKA_BROKERS, or 127.0.0.1:9092. All wait for all replicas.
 *
 * A consumer is measured from when it has joined its group to its last message, while it commits every half second; ours hands each message to a handler by key, the others only count them.
 */
import { randomUUID } from 'node:crypto'
import { kafka, type Kafka } from '../src/components/kafka/index.ts'
import { loadKafka, type KafkaModule } from '../src/components/kafka/client/peer.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { peer, versionOfOurs } from './harness/peers.ts'

const BATCH = 500
const IN_FLIGHT = 4
const PARTITIONS = 4
const CALLERS = 100
const VALUE = 'x'.repeat(300)
const COMMIT_MS = 500

interface KafkaJsProducer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(batch: { topic: string; acks: number; messages: { key: string; value: string }[] }): Promise<unknown>
}
interface KafkaJs {
  readonly logLevel: { readonly NOTHING: number }
  readonly Kafka: new (options: { brokers: string[]; logLevel: number }) => {
    producer(options: object): KafkaJsProducer
  }
}

export const benchmark: Benchmark = {
  doc: 'produce and consume, beside plain @platformatic/kafka and kafkajs',
  peers: ['kafkajs'],
  async run({ quick, rounds }) {
    const broker = process.env['KAFKA_BROKERS'] ?? '127.0.0.1:9092'
    const ours = await connectComponent(kafka({ brokers: broker, batchSize: BATCH, maxInFlight: IN_FLIGHT }))
    const module = await loadKafka()
    const base = { clientId: 'sluice-bench', bootstrapBrokers: [broker] }
    const raw = new module.Producer(base)
    const kafkajs = await peer<KafkaJs>('kafkajs')
    const foreign = new kafkajs.Kafka({ brokers: [broker], logLevel: kafkajs.logLevel.NOTHING }).producer({
      allowAutoTopicCreation: false,
      maxInFlightRequests: IN_FLIGHT,
    })
    await foreign.connect()
    const prefix = `sluice-bench-${randomUUID()}`
    const [written, read] = [`${prefix}.written`, `${prefix}.read`]
    try {
      for (const topic of [written, read]) await ours.api.createTopic(topic, { partitions: PARTITIONS })
      const batches = quick ? 60 : 200
      const singles = quick ? 20_000 : 60_000
      const awaited = quick ? 300 : 1_000
      const messages = quick ? 60_000 : 200_000
      for (let at = 0; at < messages; at += 10_000)
        await ours.api.publishBatch(read, records(10_000)).waitAll()
      const texts = records(BATCH)
      const bytes = texts.map(({ key, value }) => ({ key: Buffer.from(key), value: Buffer.from(value) }))
      const rawMessages = bytes.map((each) => ({ ...each, topic: written }))
      const sendRaw = (): Promise<unknown> => raw.send({ messages: rawMessages, acks: -1 })
      const subjects: Subject[] = [
        concurrently('sluice publishBatch', batches, () => ours.api.publishBatch(written, bytes).waitAll()),
        concurrently('@platformatic/kafka send', batches, sendRaw),
        concurrently('kafkajs send', batches, () =>
          foreign.send({ topic: written, acks: -1, messages: texts }),
        ),
        callers('sluice publish, 100 callers', singles, CALLERS, () =>
          ours.api.publish(written, VALUE, { key: 'k' }),
        ),
        callers('@platformatic/kafka, one awaited send each', awaited, 1, () =>
          raw.send({ messages: [rawMessages[0]!], acks: -1 }),
        ),
        { name: 'sluice consume', unit: 'messages/s', measure: () => consumeOurs(ours.api, read, messages) },
        {
          name: '@platformatic/kafka consume',
          unit: 'messages/s',
          measure: () => consumeRaw(module, base, read, messages),
        },
      ]
      const rows = await rounds(subjects, { rounds: 5, quickRounds: 3, warmUp: 1 })
      return {
        versions: { '@platformatic/kafka': versionOfOurs('@platformatic/kafka') },
        settings: {
          batch: BATCH,
          in_flight: IN_FLIGHT,
          partitions: PARTITIONS,
          callers: CALLERS,
          valueBytes: VALUE.length,
          messages,
        },
        rows,
        ratios: {
          kafka_produce_vs_raw: ratio(rows, 'sluice publishBatch', '@platformatic/kafka send'),
          kafka_produce_vs_kafkajs: ratio(rows, 'sluice publishBatch', 'kafkajs send'),
          kafka_gathered_vs_awaited: ratio(
            rows,
            'sluice publish, 100 callers',
            '@platformatic/kafka, one awaited send each',
          ),
          kafka_consume_vs_raw: ratio(rows, 'sluice consume', '@platformatic/kafka consume'),
        },
      }
    } finally {
      await ours.api.deleteTopics([written, read], { timeout: '10s' })
      await Promise.all([raw.close(true), foreign.disconnect(), ours.close()])
    }
  },
}

function records(count: number): { key: string; value: string }[] {
  return Array.from({ length: count }, (_, at) => ({ key: `key-${at % 1_000}`, value: VALUE }))
}

/** As many batches at once as may be in flight. */
function concurrently(name: string, batches: number, send: () => Promise<unknown>): Subject {
  return { ...callers(name, batches, IN_FLIGHT, send, BATCH), unit: 'messages/s' }
}

function callers(
  name: string,
  calls: number,
  atOnce: number,
  call: () => PromiseLike<unknown>,
  each = 1,
): Subject {
  return {
    name,
    unit: 'messages/s',
    async measure() {
      let started = 0
      const caller = async (): Promise<void> => {
        while (started < calls) {
          started += 1
          await call()
        }
      }
      const startedAt = performance.now()
      await Promise.all(Array.from({ length: atOnce }, caller))
      return ((calls * each) / (performance.now() - startedAt)) * 1_000
    },
  }
}

/** Resolves with the time of the last message. */
function meter(messages: number): { readonly end: Promise<number>; readonly count: () => void } {
  const { promise, resolve } = Promise.withResolvers<number>()
  let counted = 0
  return {
    end: promise,
    count: () => {
      counted += 1
      if (counted === messages) resolve(performance.now())
    },
  }
}

async function consumeOurs(api: Kafka, topic: string, messages: number): Promise<number> {
  const { end, count } = meter(messages)
  const consumption = api.consume(topic, () => count(), {
    group: randomUUID(),
    retry: [],
    deadLetter: false,
    commitInterval: COMMIT_MS,
  })
  await consumption.ready
  const startedAt = performance.now()
  const took = (await end) - startedAt
  await consumption.stop()
  return (messages / took) * 1_000
}

async function consumeRaw(
  module: KafkaModule,
  base: { clientId: string; bootstrapBrokers: string[] },
  topic: string,
  messages: number,
): Promise<number> {
  const { end, count } = meter(messages)
  const consumer = new module.Consumer({ ...base, groupId: randomUUID(), autocommit: COMMIT_MS })
  const stream = await consumer.consume({
    topics: [topic],
    mode: 'earliest',
    autocommit: COMMIT_MS,
    maxWaitTime: 1_000,
  })
  const startedAt = performance.now()
  stream.on('data', count)
  const took = (await end) - startedAt
  await stream.close()
  await consumer.close(true)
  return (messages / took) * 1_000
}
