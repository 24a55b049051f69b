/** The rabbitmq component: two connections to one broker or cluster, one to publish over and one to consume over. */
import type { Component, ComponentContext, ComponentDefinition } from '../../app/component.ts'
import type { Duration } from '../../core/duration.ts'
import type { RabbitMQ } from './api.ts'
import { createBroker } from './broker.ts'
import { rabbitmqSection, type RabbitmqConfig } from './section.ts'

/** Options in code; each wins over environment and file. Durations are milliseconds or text such as `'5s'`. */
export interface RabbitMQOptions {
  /** `amqp://user:password@host:5672/vhost`, or `amqps://`; nodes of a cluster separated by commas. @default MQ_URL */
  readonly url?: string
  /** Host, or `host:port` of each node separated by commas; wins over that of the URL. @default MQ_HOST */
  readonly host?: string
  /** Of hosts that name none. @default 5672; over TLS 5671 */
  readonly port?: number
  /** @default 'guest' */
  readonly user?: string
  /** @default 'guest' */
  readonly password?: string
  /** @default '/' */
  readonly vhost?: string
  /** @default false; true for an amqps:// URL */
  readonly tls?: boolean
  /** false accepts any certificate; for tests only. @default true */
  readonly tlsRejectUnauthorized?: boolean
  /** File with the authorities that may vouch for the broker. @default those of Node.js */
  readonly tlsCa?: string
  /** File with the certificate of the client. @default none */
  readonly tlsCert?: string
  /** File with the key of that certificate. @default none */
  readonly tlsKey?: string
  /** Topic exchange. @default 'sluice' */
  readonly exchange?: string
  /** Of one node. @default '5s' */
  readonly dialTimeout?: Duration
  /** @default '10s' */
  readonly heartbeat?: Duration
  /** Of a publish, until it is confirmed. @default '10s' */
  readonly publishTimeout?: Duration
  /** Messages sent and not confirmed. @default 1000 */
  readonly maxOutstanding?: number
  /** Bytes of those. @default '64mb' */
  readonly maxOutstandingBytes?: number | string
  /** Messages that wait to be sent. @default 10000 */
  readonly maxWaiting?: number
  /** Body of one message. @default '16mb' */
  readonly maxMessageBytes?: number | string
  /** Of a publish that the broker refused. @default 2 */
  readonly maxRetries?: number
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

/**
 * A rabbitmq component for `createApp`; disabled unless an address is set, as there is no broker to fall back on.
 * Operations reject with SLUICE_NOT_READY until it is connected.
 */
export function rabbitmq(
  options: RabbitMQOptions = {},
): ComponentDefinition<RabbitMQ, typeof rabbitmqSection.fields> {
  const { dependsOn = [], ...overrides } = options
  return {
    kind: 'rabbitmq',
    section: rabbitmqSection,
    overrides,
    dependsOn,
    needsConfiguration: true,
    workers: 10,
    connectTimeoutMs: 30_000,
    create: (context: ComponentContext<RabbitmqConfig>): Component<RabbitMQ> => createBroker(context),
  }
}
