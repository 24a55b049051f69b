/** The events component, for `createApp`. */
import type { ComponentContext, ComponentDefinition, Requirement } from '../app/component.ts'
import type { Duration } from '../core/duration.ts'
import type { Events } from './api.ts'
import { createEvents } from './component.ts'
import { eventsSection, type EventsConfig, type TRANSPORT_CHOICES } from './section.ts'
import type { ForeignMapping } from './transports/broker.ts'

/** Values given in code win over the environment and sluice.yaml. */
export interface EventsOptions {
  /**
   * `log`, or the broker that events travel by: behind the log where there is a database, else alone. `auto`: the broker
   * among the components that has an address, else the log. EVENTS_TRANSPORT. @default 'log'
   */
  readonly transport?: (typeof TRANSPORT_CHOICES)[number]
  /** Name of the postgres component whose database holds the log; false for a broker alone. @default the only one */
  readonly database?: string | false
  /** Name of the component of the broker. @default the only one of its kind */
  readonly broker?: string
  /** Topic of Kafka that events travel in. EVENTS_CHANNEL. @default 'events' */
  readonly channel?: string
  /** Of that topic, where it has to be made. EVENTS_PARTITIONS. @default 6 */
  readonly partitions?: number
  /** What becomes of an event that no queue of RabbitMQ takes. EVENTS_UNROUTABLE. @default 'accept' behind the log, else 'refuse' */
  readonly unroutable?: 'accept' | 'refuse'
  /** Patterns of the topics that go from the log to the broker. EVENTS_RELAY_TOPICS. @default ['#'] */
  readonly relayTopics?: readonly string[]
  /** Patterns of the topics that come from the broker into the log. EVENTS_BRIDGE_TOPICS. @default those that are subscribed to */
  readonly bridgeTopics?: readonly string[]
  /** How long ids of those are remembered. EVENTS_INBOX_KEEP. @default '7d' */
  readonly inboxKeep?: Duration
  /** Makes events of messages that have no CloudEvents envelope. @default they are dead letters */
  readonly map?: ForeignMapping
  /** EVENTS_CONCURRENCY. @default 10 */
  readonly concurrency?: number
  /** EVENTS_POLL_INTERVAL. @default '1s' */
  readonly pollInterval?: Duration
  /** EVENTS_NOTIFY. @default true */
  readonly notify?: boolean
  /** EVENTS_MAX_BODY_SIZE. @default '1mb' */
  readonly maxBodySize?: number | string
  /** EVENTS_RETENTION. @default '7d' */
  readonly retention?: Duration
  /** EVENTS_KEEP_DEAD: how long dead letters are kept, 0 for ever. @default '30d' */
  readonly keepDead?: Duration
  /** EVENTS_STALL_TIMEOUT. @default '2m' */
  readonly stallTimeout?: Duration
  /** EVENTS_SHUTDOWN_TIMEOUT. @default '15s' */
  readonly shutdownTimeout?: Duration
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

/** Durable events: in a PostgreSQL database of the app, with a broker behind it, or on a broker alone. */
export function events(
  options: EventsOptions = {},
): ComponentDefinition<Events, typeof eventsSection.fields> {
  const { database, broker: _broker, map, dependsOn = [], ...overrides } = options
  return Object.freeze({
    kind: 'events',
    section: eventsSection,
    overrides: Object.freeze(overrides),
    dependsOn: Object.freeze([...dependsOn]),
    requires: Object.freeze(requirements(options)),
    workers: 10,
    connectTimeoutMs: 60_000,
    create: (context: ComponentContext<EventsConfig>) =>
      createEvents(context, { withDatabase: database !== false, map }),
  })
}

/** A broker is beside it: events are stored while it is away. */
function requirements({ transport = 'log', database, broker }: EventsOptions): readonly Requirement[] {
  const kinds = broker === undefined || transport === 'log' || transport === 'auto' ? BROKERS : [transport]
  const brokers = kinds.map((kind) => ({
    kind,
    name: kinds.length === 1 ? broker : undefined,
    optional: true,
    beside: true,
  }))
  if (database === false) return brokers
  const optional = transport !== 'log' && database === undefined
  return [{ kind: 'postgres', name: database, optional }, ...brokers]
}

const BROKERS = ['rabbitmq', 'kafka'] as const
