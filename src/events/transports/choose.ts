/** Which way events travel: decided once, from the configuration and from what components the app has. */
import type { ComponentBase, ComponentContext } from '../../app/component.ts'
import type { Kafka } from '../../components/kafka/index.ts'
import type { RabbitMQ } from '../../components/rabbitmq/index.ts'
import { SluiceError } from '../../core/errors.ts'
import { LogLimit } from '../../telemetry/log-limit.ts'
import type { Transport } from '../features.ts'
import type { EventsConfig } from '../section.ts'
import type { BrokerKind, EventBroker } from './broker.ts'
import { kafkaBroker } from './kafka.ts'
import { rabbitBroker } from './rabbitmq.ts'

export type Way =
  | { readonly transport: 'log'; readonly broker: undefined }
  | { readonly transport: 'log+rabbitmq' | 'log+kafka'; readonly broker: EventBroker }
  | { readonly transport: BrokerKind; readonly broker: EventBroker }

const KINDS = ['rabbitmq', 'kafka'] as const
const LOG_INTERVAL_MS = 60_000

/** `withDatabase`: may it use one? Throws SLUICE_CONFIG. */
export function chooseWay(context: ComponentContext<EventsConfig>, withDatabase: boolean): Way {
  const { name, config } = context
  const hasDatabase = withDatabase && context.required('postgres') !== undefined
  const kind = kindOf(context)
  if (kind === undefined) {
    if (hasDatabase) return { transport: 'log', broker: undefined }
    throw new SluiceError('SLUICE_CONFIG', `${name}: events have neither a database nor a broker`, {
      hint: 'Add db: postgres() to the components, or a broker: rabbitmq() or kafka() with its address, and transport to events().',
    })
  }
  const component = context.required(kind)
  if (component === undefined) {
    throw new SluiceError(
      'SLUICE_CONFIG',
      `${name}: transport is ${config.transport}, and there is no component ${kind} that is configured`,
      {
        hint: `Add ${kind}() to the components and set ${kind === 'kafka' ? 'KAFKA_BROKERS' : 'MQ_HOST'}; of several, name one by events({ broker }).`,
      },
    )
  }
  const broker = brokerOf(context, kind, component, hasDatabase)
  return { transport: hasDatabase ? `log+${kind}` : kind, broker } as Way
}

/** The broker that was asked for; undefined for none. */
function kindOf(context: ComponentContext<EventsConfig>): BrokerKind | undefined {
  const { transport } = context.config
  if (transport === 'log') return undefined
  if (transport !== 'auto') return transport
  const there = KINDS.filter((kind) => context.required(kind) !== undefined)
  if (there.length <= 1) return there[0]
  throw new SluiceError(
    'SLUICE_CONFIG',
    `${context.name}: transport is auto, and both rabbitmq and kafka have an address`,
    {
      hint: 'Say which by EVENTS_TRANSPORT.',
    },
  )
}

function brokerOf(
  { config, clock, random, metrics, name, log }: ComponentContext<EventsConfig>,
  kind: BrokerKind,
  component: ComponentBase,
  hasDatabase: boolean,
): EventBroker {
  const { channel: topic, partitions, unroutable = hasDatabase ? 'accept' : 'refuse' } = config
  if (kind === 'kafka') return kafkaBroker({ kafka: component as Kafka, topic, partitions, clock, random })
  const cell = metrics
    .counter('sluice_events_unroutable_total', 'Events that no queue of the broker took.')
    .with({ component: name })
  const complaints = new LogLimit(clock, LOG_INTERVAL_MS)
  return rabbitBroker({
    mq: component as RabbitMQ,
    acceptUnroutable: unroutable === 'accept',
    onUnroutable: () => {
      cell.add(1)
      const suppressed = complaints.take()
      if (suppressed !== undefined) log.warn({ suppressed }, `${name}: no queue of the broker takes an event`)
    },
  })
}

export function isAlone(transport: Transport): transport is BrokerKind {
  return transport === 'rabbitmq' || transport === 'kafka'
}
