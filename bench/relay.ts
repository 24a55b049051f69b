/**
 * The relay: events that wait in the log until a broker has confirmed them, beside its plain driver with the same bytes
 * and headers in the same run; and single events from their commit in one service to the handler of another, which has a
 * database of its own. Brokers are those at MQ_URL and KAFKA_BROKERS, else the local ones.
 */
import { randomUUID } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { join } from 'node:path'
import { Connection } from 'rabbitmq-client'
import { z } from 'zod'
import type { ComponentBase } from '../src/app/component.ts'
import { loadKafka } from '../src/components/kafka/client/peer.ts'
import type { Kafka } from '../src/components/kafka/index.ts'
import { postgres } from '../src/components/postgres/index.ts'
import { event, events, type Events } from '../src/events/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Row, type Subject } from './harness/benchmark.ts'
import { KAFKA_BROKERS, MQ_URL, openBroker, type BrokerKind } from './harness/brokers.ts'
import { freshDatabase, testServer } from './harness/database.ts'
import { driverVersion } from './rabbitmq.ts'
import { versionOfOurs } from './harness/peers.ts'
import { percentile } from './harness/rounds.ts'
import { APART_MS, waitsOf } from './harness/waits.ts'

const READER = join(import.meta.dirname, 'programs/relay-reader.ts')
const OUTSTANDING = 1_000
const BATCH = 500
/** Requests to Kafka at once, as the relay has them. */
const CHAINS = 2
const PARTITIONS = 6
const KEYS = 1_000
const DATA = { text: 'x'.repeat(200), n: 1 }
const Filled = event('bench.filled', z.object({ text: z.string(), n: z.number() }))
const Ping = event('bench.ping', z.object({ id: z.number() }))

export const benchmark: Benchmark = {
  doc: 'from the log to RabbitMQ and Kafka, beside their drivers; commit to handler through a broker',
  peers: [],
  async run({ quick, rounds, note }) {
    const channel = `bench-${randomUUID()}`
    await using server = await testServer()
    await using stack = new AsyncDisposableStack()
    const raw = new Connection({ url: MQ_URL, noDelay: true })
    raw.on('error', (error: unknown) => console.error(error))
    const queue = `${channel}.queue`
    stack.defer(async () => {
      for (const each of [queue, `${channel}.reader/events/bridge`, `${channel}.reader/events/bridge.dead`])
        await raw.queueDelete({ queue: each })
      await raw.exchangeDelete({ exchange: channel })
      await raw.close()
    })
    const module = await loadKafka()
    const producer = new module.Producer({ clientId: 'sluice-bench', bootstrapBrokers: [KAFKA_BROKERS] })
    stack.defer(() => producer.close(true))
    const writers = new Map<BrokerKind, Events>()
    for (const kind of ['rabbitmq', 'kafka'] as const) {
      const own = stack.use(await freshDatabase(server, `sluice_bench_relay_${kind}`))
      const broker = stack.use(await openBroker(kind, channel))
      if (kind === 'kafka') stack.defer(() => removeTopics(broker.api as Kafka, channel))
      writers.set(kind, await writer(kind, own.dsn, channel, broker.api, stack))
    }
    await raw.queueDeclare({ queue, durable: true, arguments: { 'x-queue-type': 'quorum' } })
    await raw.queueBind({ queue, exchange: channel, routingKey: '#' })
    const confirms = await raw.acquire()
    await confirms.confirmSelect()
    stack.defer(() => confirms.close())

    const messages = quick ? 10_000 : 40_000
    const more = quick ? 30_000 : 100_000
    const purge = async (): Promise<void> => void (await raw.queuePurge(queue))
    const rows: Row[] = [
      ...(await rounds(
        [
          relaying('sluice relay to RabbitMQ', writers.get('rabbitmq')!, 'rabbitmq', messages, purge),
          {
            name: 'rabbitmq-client, 1,000 outstanding',
            unit: 'events/s',
            measure: async () => {
              const rate = await rawConfirms(channel, confirms, messages)
              await purge()
              return rate
            },
          },
          relaying('sluice relay to Kafka', writers.get('kafka')!, 'kafka', more),
          {
            name: '@platformatic/kafka, two requests at a time',
            unit: 'events/s',
            measure: () => rawProduce(channel, producer, more),
          },
        ],
        { rounds: 5, quickRounds: 3, warmUp: 1 },
      )),
    ]
    await raw.queueUnbind({ queue, exchange: channel, routingKey: '#' })

    const count = quick ? 200 : 1_000
    for (const kind of ['rabbitmq', 'kafka'] as const) {
      note(`latency through ${kind}`)
      await using far = await freshDatabase(server, `sluice_bench_relay_${kind}_reader`)
      const waits = await waitsOf({
        program: READER,
        args: [kind, far.dsn, channel],
        count,
        send: (id) => writers.get(kind)!.publish(Ping, { id }),
        since: 'acknowledged',
      })
      for (const [label, part] of [
        ['p50', 0.5],
        ['p99', 0.99],
      ] as const) {
        const value = percentile(waits, part)
        const subject = `commit to handler through ${kind}, ${label}`
        rows.push({ subject, value: Number(value.toPrecision(3)), unit: 'ms' })
      }
    }
    return {
      versions: {
        'rabbitmq-client': driverVersion(),
        '@platformatic/kafka': versionOfOurs('@platformatic/kafka'),
      },
      settings: {
        messages,
        kafka_messages: more,
        outstanding: OUTSTANDING,
        requests: CHAINS,
        keys: KEYS,
        count,
        apart_ms: APART_MS,
      },
      rows,
      ratios: {
        relay_rabbitmq_vs_raw: ratio(rows, 'sluice relay to RabbitMQ', 'rabbitmq-client, 1,000 outstanding'),
        relay_kafka_vs_raw: ratio(
          rows,
          'sluice relay to Kafka',
          '@platformatic/kafka, two requests at a time',
        ),
      },
    }
  },
}

async function writer(
  kind: BrokerKind,
  dsn: string,
  channel: string,
  broker: ComponentBase,
  stack: AsyncDisposableStack,
): Promise<Events> {
  const db = stack.use(await connectComponent(postgres({ dsn }), { name: 'db' }))
  const definition = events({ transport: kind, channel, partitions: PARTITIONS })
  const required = { postgres: db.api, [kind]: broker }
  return stack.use(await connectComponent(definition, { appName: `${channel}.writer`, required })).api
}

/** Events that lie in the log, from when the relay may begin to the last confirm. */
function relaying(
  name: string,
  api: Events,
  kind: BrokerKind,
  messages: number,
  clean: () => Promise<void> = () => Promise.resolve(),
): Subject {
  const relay = `relay:${kind}`
  return {
    name,
    unit: 'events/s',
    async measure() {
      await api.pause(relay)
      for (let from = 0; from < messages; from += 10_000)
        await api.publishMany(
          Filled,
          Array.from({ length: Math.min(10_000, messages - from) }, (_, at) => ({
            data: DATA,
            key: `k${at % KEYS}`,
          })),
        )
      let confirmed = 0
      const done = Promise.withResolvers<void>()
      const count = (message: unknown): void => {
        confirmed += (message as { readonly count: number }).count
        if (confirmed >= messages) done.resolve()
      }
      subscribe('sluice:events.relayed', count)
      try {
        await api.resume(relay)
        const startedAt = performance.now()
        await done.promise
        return (messages / (performance.now() - startedAt)) * 1_000
      } finally {
        unsubscribe('sluice:events.relayed', count)
        await clean()
      }
    },
  }
}

type Confirms = Awaited<ReturnType<Connection['acquire']>>

async function rawConfirms(exchange: string, channel: Confirms, messages: number): Promise<number> {
  const body = Buffer.from(JSON.stringify(DATA))
  let sent = 0
  const caller = async (): Promise<void> => {
    while (sent < messages) {
      const id = `raw-${sent++}`
      const headers = {
        'cloudEvents:specversion': '1.0',
        'cloudEvents:id': id,
        'cloudEvents:source': 'test',
        'cloudEvents:type': Filled.topic,
        'cloudEvents:time': new Date().toISOString(),
        'cloudEvents:schemaversion': '1',
        'cloudEvents:partitionkey': `k${sent % KEYS}`,
      }
      const envelope = {
        exchange,
        routingKey: Filled.topic,
        mandatory: true,
        durable: true,
        messageId: id,
        contentType: 'application/json',
        priority: 4,
        headers,
      }
      await channel.basicPublish(envelope, body)
    }
  }
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: OUTSTANDING }, caller))
  return (messages / (performance.now() - startedAt)) * 1_000
}

interface Producer {
  send(request: object): Promise<unknown>
}

/** Of one key one request after another, as its order needs it, so that those on their way have keys of their own. */
async function rawProduce(topic: string, producer: Producer, messages: number): Promise<number> {
  const value = Buffer.from(JSON.stringify(DATA))
  const texts = {
    ce_specversion: '1.0',
    ce_source: '/test',
    ce_type: Filled.topic,
    ce_schemaversion: '1',
    'content-type': 'application/json',
  }
  const chain = async (own: number): Promise<void> => {
    for (let from = own * BATCH; from < messages; from += CHAINS * BATCH) {
      const batch = Array.from({ length: BATCH }, (_, at) => ({
        topic,
        key: Buffer.from(`k${(at * CHAINS + own) % KEYS}`),
        value,
        headers: new Map(
          Object.entries({ ...texts, ce_id: `raw-${from + at}`, ce_time: new Date().toISOString() }).map(
            ([name, text]) => [Buffer.from(name), Buffer.from(text)],
          ),
        ),
      }))
      await producer.send({ messages: batch, acks: -1 })
    }
  }
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: CHAINS }, (_, own) => chain(own)))
  return (messages / (performance.now() - startedAt)) * 1_000
}

async function removeTopics(kafka: Kafka, prefix: string): Promise<void> {
  const topics = (await kafka.topics()).filter((name) => name.startsWith(prefix))
  if (topics.length > 0) await kafka.deleteTopics(topics, { timeout: '10s' })
}
