/** The kafka component. */
import type { Component, ComponentContext, ComponentDefinition } from '../../app/component.ts'
import { waitOrAbort } from '../../core/abort.ts'
import type { Duration } from '../../core/duration.ts'
import { SluiceError } from '../../core/errors.ts'
import { DeadLetters } from './admin/dead-letters.ts'
import { OffsetAdmin } from './admin/offsets.ts'
import { TopicAdmin } from './admin/topics.ts'
import type { Kafka } from './api.ts'
import { describeBrokers, parseBrokers, type Broker } from './brokers.ts'
import { createClient } from './client.ts'
import { Clients } from './client/clients.ts'
import { loadKafka } from './client/peer.ts'
import { clientSettings } from './client/settings.ts'
import { RunningConsumption } from './consume/consumption.ts'
import { checkConsume } from './consume/options.ts'
import { KnownTexts } from './publish/known-texts.ts'
import { Publisher } from './publish/publisher.ts'
import { checkTopic } from './publish/record.ts'
import { Sender } from './publish/sender.ts'
import {
  kafkaSection,
  type COMPRESSIONS,
  type KafkaConfig,
  type SASL_MECHANISMS,
  type SECURITY_PROTOCOLS,
} from './section.ts'

/** Options in code; each wins over environment and file. Durations are milliseconds or text such as `'5s'`. */
export interface KafkaOptions {
  /** Addresses `host:port`. @default KAFKA_BROKERS; without it the component is disabled */
  readonly brokers?: string | readonly string[]
  /** What `kafka.topic` says. @default KAFKA_TOPIC, else the name of the app */
  readonly topic?: string
  /** @default KAFKA_CONSUMER_GROUP, else the name of the app */
  readonly consumerGroup?: string
  /** Messages of one request at most. @default 1000 */
  readonly batchSize?: number
  /** Bytes of one request at most. @default '900kb' */
  readonly batchBytes?: number | string
  /** @default '900kb' */
  readonly maxMessageBytes?: number | string
  /** @default 'none' */
  readonly compression?: (typeof COMPRESSIONS)[number]
  /** The broker drops what a retry sends twice; one request at a time. @default false */
  readonly idempotent?: boolean
  /** Requests at once. @default 4 */
  readonly maxInFlight?: number
  /** @default 10000 */
  readonly maxWaiting?: number
  /** @default '64mb' */
  readonly maxWaitingBytes?: number | string
  /** @default '5s' */
  readonly dialTimeout?: Duration
  /** @default '10s' */
  readonly requestTimeout?: Duration
  /** @default '9m' */
  readonly connIdleTime?: Duration
  /** @default '20s' */
  readonly sessionTimeout?: Duration
  /** @default '16mb' */
  readonly maxBufferedBytes?: number | string
  /** @default 'PLAINTEXT' */
  readonly securityProtocol?: (typeof SECURITY_PROTOCOLS)[number]
  /** @default 'SCRAM-SHA-512' */
  readonly saslMechanism?: (typeof SASL_MECHANISMS)[number]
  readonly saslUsername?: string
  readonly saslPassword?: string
  /** Files. @default those of Node.js; none */
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  /** false accepts any certificate; for tests only. @default true */
  readonly tlsRejectUnauthorized?: boolean
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

const WORKERS = 10
const BREAKER_THRESHOLD = 20
const BREAKER_RESET_MS = 1_000
const RETRIES = 2

/** A kafka component for `createApp`. It is disabled unless its brokers are configured. */
export function kafka(options: KafkaOptions = {}): ComponentDefinition<Kafka, typeof kafkaSection.fields> {
  const { dependsOn = [], ...overrides } = options
  return {
    kind: 'kafka',
    section: kafkaSection,
    overrides,
    dependsOn,
    needsConfiguration: true,
    workers: WORKERS,
    connectTimeoutMs: 30_000,
    create: createKafka,
  }
}

function createKafka(context: ComponentContext<KafkaConfig>): Component<Kafka> {
  const { config, name, appName, clock, random, log, metrics, base } = context
  // What a broker takes as the id of a client and the name of a group.
  const plainName = appName.replace(/[^a-zA-Z0-9._-]/g, '-').slice(0, 80) || 'sluice'
  const group = config.consumerGroup ?? plainName
  const brokers = brokersOf(config)
  const clients = new Clients({
    component: name,
    clock,
    idempotent: config.idempotent,
    idleMs: config.connIdleTime,
  })
  const operations = context.operations({
    timeoutMs: config.requestTimeout,
    // Single publishes wait in their gatherer, which has the limits.
    maxConcurrent: config.maxWaiting + 1_000,
    maxWaiting: config.maxWaiting,
    breakerThreshold: BREAKER_THRESHOLD,
    breakerResetMs: BREAKER_RESET_MS,
    retries: RETRIES,
  })
  const sender = new Sender({ component: name, clients, config, clock })
  const rules = {
    component: name,
    source: `/${plainName}`,
    maxBytes: config.maxMessageBytes,
    texts: new KnownTexts(),
  }
  const publisher = new Publisher({ component: name, operations, sender, config, rules, clock })
  const topics = new TopicAdmin(name, clients, clock)
  const offsets = new OffsetAdmin(clients, topics)
  const deadLetters = new DeadLetters({ component: name, clients, clock, offsets, topics, sender })
  const consumptions = new Set<RunningConsumption>()
  let connected = false
  let closed = false

  const consume: Kafka['consume'] = (topic, handler, options = {}) => {
    if (closed) throw new SluiceError('SLUICE_CLOSED', `${name} was closed`)
    const names = typeof topic === 'string' ? [topic] : [...topic]
    for (const each of names) checkTopic(each)
    const concurrency = base.status().pool.workers
    const consumption: RunningConsumption = new RunningConsumption({
      component: name,
      consume: checkConsume(names, options, config, { group, concurrency }),
      handler,
      clients,
      operations,
      sender,
      topicAdmin: topics,
      offsetAdmin: offsets,
      clock,
      random,
      log,
      metrics,
      onStopped: () => void consumptions.delete(consumption),
    })
    consumptions.add(consumption)
    if (connected) void consumption.start()
    return consumption
  }

  return {
    api: createClient({
      base,
      operations,
      publisher,
      topics,
      offsets,
      deadLetters,
      group,
      topic: config.topic ?? plainName,
      consume,
    }),
    connect: async (signal) => {
      signal.throwIfAborted()
      const module = await waitOrAbort(loadKafka(), signal)
      if (config.securityProtocol.endsWith('SSL') && !config.tlsRejectUnauthorized)
        log.warn({ component: name }, `${name}: certificates are not verified (tlsRejectUnauthorized: false)`)
      const settings = await clientSettings({
        component: name,
        clientId: `${plainName}-${name}`,
        brokers,
        config,
      })
      await clients.open(module, settings, signal)
      connected = true
      for (const consumption of consumptions) void consumption.start()
    },
    check: async (signal) => {
      await clients.ask(signal, (admin) => admin.metadata({ topics: [], forceUpdate: true, retries: 0 }))
    },
    stopIntake: async () => {
      for (const consumption of consumptions) consumption.halt()
    },
    drain: async (signal) => {
      await Promise.all([...consumptions].map((consumption) => consumption.stop(signal)))
    },
    close: async (signal) => {
      closed = true
      connected = false
      await Promise.all([...consumptions].map((consumption) => consumption.stop(signal)))
      await waitOrAbort(publisher.close(), signal).catch(() => undefined)
      await clients.close()
    },
    inspect: () => ({
      brokers: describeBrokers(brokers),
      security: config.securityProtocol,
      requests: { inFlight: sender.inFlight, waiting: sender.waiting },
      clientsReplaced: clients.replaced,
      consumers: [...consumptions].map((consumption) => ({
        group: consumption.group,
        topics: [...consumption.topics],
        ...consumption.stats(),
      })),
    }),
  }
}

/** The section has parsed them already; a context made by hand may hold anything, and a disabled component none. */
function brokersOf(config: KafkaConfig): readonly Broker[] {
  if (config.brokers === undefined) return []
  const parsed = parseBrokers(config.brokers)
  if ('expected' in parsed)
    throw new SluiceError('SLUICE_CONFIG', `kafka.brokers: expected ${parsed.expected}`)
  return parsed
}
