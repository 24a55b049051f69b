/**
 * Confirmed publishing with a thousand messages outstanding, and consuming with an acknowledgement each, through the
 * component and through plain rabbitmq-client at its best settings, on one broker: the one at MQ_URL, or 127.0.0.1:5672
 * with the user `guest`.
 *
 * Both publish persistent, mandatory messages of the same size and headers into a quorum queue, on one channel: more were
 * not faster. Both consume with handlers that do nothing, two hundred messages held at once.
 */
import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { Connection } from 'rabbitmq-client'
import { rabbitmq } from '../src/components/rabbitmq/index.ts'
import { WorkerPool } from '../src/pool/worker-pool.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'

const OUTSTANDING = 1_000
const HANDLERS = 100
const PREFETCH = 200
const DATA = { text: 'x'.repeat(200), n: 1 }

export const benchmark: Benchmark = {
  doc: 'confirmed publishing and consuming with ack, beside plain rabbitmq-client',
  peers: [],
  async run({ quick, rounds }) {
    const url = process.env['MQ_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672'
    const exchange = `bench-${randomUUID()}`
    const pool = new WorkerPool({ name: 'handlers', workers: HANDLERS, maxWaiting: PREFETCH })
    const ours = await connectComponent(rabbitmq({ url, exchange, maxOutstanding: OUTSTANDING }))
    const raw = new Connection({ url, noDelay: true })
    raw.on('error', (error: unknown) => console.error(error))
    const queues = { ours: `${exchange}.ours`, raw: `${exchange}.raw`, consumed: `${exchange}.consumed` }
    try {
      for (const queue of [queues.ours, queues.raw]) {
        await raw.queueDeclare({ queue, durable: true, arguments: { 'x-queue-type': 'quorum' } })
        await raw.queueBind({ queue, exchange, routingKey: queue })
      }
      const { api: mq } = ours
      // Declares the queue that both consume from, as subscriptions do.
      const subscription = mq.subscribe(queues.consumed, queues.consumed, () => {}, { pool })
      await subscription.live
      await subscription.close()

      const messages = quick ? 10_000 : 50_000
      const channel = await raw.acquire()
      await channel.confirmSelect()
      const publishOurs = (to: string) => mq.publish(to, DATA)
      const publishRaw = (to: string): Promise<void> => {
        const id = randomUUID()
        const headers = {
          'cloudEvents:specversion': '1.0',
          'cloudEvents:id': id,
          'cloudEvents:source': 'test',
          'cloudEvents:type': to,
          'cloudEvents:time': new Date().toISOString(),
        }
        return channel.basicPublish(
          { exchange, routingKey: to, mandatory: true, durable: true, messageId: id, priority: 4, headers },
          DATA,
        )
      }
      const consumeOurs = (handler: () => void): Promise<() => Promise<void>> => {
        const reading = mq.subscribe(queues.consumed, queues.consumed, handler, { pool, prefetch: PREFETCH })
        return reading.live.then(() => () => reading.close())
      }
      const consumeRaw = async (handler: () => void): Promise<() => Promise<void>> => {
        const consumer = raw.createConsumer(
          {
            queue: queues.consumed,
            queueOptions: { passive: true },
            qos: { prefetchCount: PREFETCH },
            concurrency: HANDLERS,
          },
          async () => handler(),
        )
        consumer.on('error', (error: unknown) => console.error(error))
        return () => consumer.close()
      }
      const fill = (count: number): Promise<void> =>
        outstanding(count, () => mq.publish(queues.consumed, DATA))
      const rows = await rounds([
        publishing(
          'sluice publish',
          messages,
          () => publishOurs(queues.ours),
          () => raw.queuePurge(queues.ours),
        ),
        publishing(
          'rabbitmq-client publish',
          messages,
          () => publishRaw(queues.raw),
          () => raw.queuePurge(queues.raw),
        ),
        consuming('sluice consume', messages, fill, consumeOurs),
        consuming('rabbitmq-client consume', messages, fill, consumeRaw),
      ])
      await channel.close()
      return {
        settings: {
          outstanding: OUTSTANDING,
          prefetch: PREFETCH,
          handlers: HANDLERS,
          messages,
          driver: driverVersion(),
        },
        rows,
        ratios: {
          rabbitmq_publish_vs_raw: ratio(rows, 'sluice publish', 'rabbitmq-client publish'),
          rabbitmq_consume_vs_raw: ratio(rows, 'sluice consume', 'rabbitmq-client consume'),
        },
      }
    } finally {
      await ours.close()
      await pool.close()
      for (const queue of [...Object.values(queues), `${queues.consumed}.dead`])
        await raw.queueDelete({ queue })
      await raw.exchangeDelete({ exchange })
      await raw.close()
    }
  },
}

/** Publishes so many, with as many under way as there may be. */
async function outstanding(count: number, publish: () => PromiseLike<unknown>): Promise<void> {
  let started = 0
  const publisher = async (): Promise<void> => {
    while (started < count) {
      started += 1
      await publish()
    }
  }
  await Promise.all(Array.from({ length: OUTSTANDING }, publisher))
}

function publishing(
  name: string,
  messages: number,
  publish: () => PromiseLike<unknown>,
  empty: () => Promise<unknown>,
): Subject {
  return {
    name,
    unit: 'messages/s',
    async measure() {
      const startedAt = performance.now()
      await outstanding(messages, publish)
      const rate = (messages / (performance.now() - startedAt)) * 1_000
      await empty()
      return rate
    },
  }
}

/** From the first handler to the last; filling the queue is not measured. */
function consuming(
  name: string,
  messages: number,
  fill: (count: number) => Promise<void>,
  consume: (handler: () => void) => Promise<() => Promise<void>>,
): Subject {
  return {
    name,
    unit: 'messages/s',
    async measure() {
      await fill(messages)
      const done = Promise.withResolvers<void>()
      let count = 0
      let startedAt = 0
      const stop = await consume(() => {
        if (count === 0) startedAt = performance.now()
        count += 1
        if (count === messages) done.resolve()
      })
      await done.promise
      const rate = (messages / (performance.now() - startedAt)) * 1_000
      await stop()
      return rate
    },
  }
}

export function driverVersion(): string {
  const { version } = createRequire(import.meta.url)('rabbitmq-client/package.json') as { version: string }
  return version
}
