/**
 * Somewhere to publish and somewhere to read, for each way of transport. Behind the log these are two services with a
 * database each, so that what is read has come over the broker.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { kafka, type KafkaOptions } from '../../../src/components/kafka/index.ts'
import { postgres, type Postgres } from '../../../src/components/postgres/index.ts'
import { rabbitmq, type RabbitMQOptions } from '../../../src/components/rabbitmq/index.ts'
import type { ComponentBase, ComponentDefinition } from '../../../src/app/component.ts'
import { events, type Events, type EventsOptions, type Transport } from '../../../src/events/index.ts'
import type { Logger } from '../../../src/telemetry/log.ts'
import {
  connectComponent,
  openComponent,
  type OpenComponent,
  type OpenComponentOptions,
} from '../../../src/testing/connect-component.ts'
import { BROKER, missingBroker, removeTopics } from '../../components/kafka/support.ts'
import { at, ownVhost, type Broker } from '../../components/rabbitmq/support.ts'
import { ownDatabase } from '../../support/own-database.ts'
import { serverAt } from '../../support/servers.ts'

export interface Service extends AsyncDisposable {
  readonly events: Events
  readonly component: OpenComponent<Events>
  /** Undefined on a broker alone. */
  readonly db: Postgres | undefined
  readonly broker: ComponentBase | undefined
  readonly appName: string
}

export interface ServiceOptions extends EventsOptions {
  readonly log?: Logger
  /** Instead of the broker's own address: that of a proxy. */
  readonly address?: string
  /** The broker is not there yet: nothing waits for it. */
  readonly away?: boolean
  /** Subscribes before the component connects, as services do. */
  readonly before?: (events: Events) => void
  /** Further options of the component of the broker. */
  readonly limits?: RabbitMQOptions & KafkaOptions
}

type Definition = ComponentDefinition<ComponentBase>

const RECONNECT_MS = 20

/** Connects again whenever the connection was lost, as an app does. */
async function keptConnected(
  definition: Definition,
  options: OpenComponentOptions,
  away: boolean,
): Promise<OpenComponent<ComponentBase>> {
  let lost = Promise.withResolvers<void>()
  const open = await openComponent(
    {
      ...definition,
      create: (context) =>
        definition.create({
          ...context,
          lost: (error) => {
            context.lost(error)
            lost.resolve()
          },
        }),
    },
    options,
  )
  const closing = new AbortController()
  const keep = async (): Promise<void> => {
    for (let first = !away; !closing.signal.aborted; first = false) {
      if (!first) await (away && open.phase === 'waiting' ? undefined : lost.promise)
      lost = Promise.withResolvers()
      while (!closing.signal.aborted) {
        try {
          await open.connect(closing.signal)
          break
        } catch {
          await sleep(RECONNECT_MS, undefined, { signal: closing.signal }).catch(() => undefined)
        }
      }
      if (first) connected.resolve()
    }
  }
  const connected = Promise.withResolvers<void>()
  const keeping = keep()
  if (!away) await connected.promise
  return Object.assign(Object.create(open) as OpenComponent<ComponentBase>, {
    [Symbol.asyncDispose]: async () => {
      closing.abort()
      lost.resolve()
      await keeping
      await open.close()
    },
  })
}

export type Role = 'writer' | 'reader'

export interface Place extends AsyncDisposable {
  readonly transport: Transport
  readonly vhost: Broker | undefined
  /** Topic of Kafka. */
  readonly channel: string
  /** Of the database of the service, which is made where it is not there. */
  dsn(role: Role): Promise<string>
  /** A process of the service that publishes, or of the one that reads. */
  join(role: Role, options?: ServiceOptions): Promise<Service>
}

/** False, or why there can be no place. */
export async function missingFor(transport: Transport): Promise<false | string> {
  if (transport.startsWith('log')) {
    const { skip } = await serverAt('postgres')
    if (skip !== false) return skip
  }
  if (transport.includes('rabbitmq')) return (await serverAt('rabbitmq')).skip
  return transport.includes('kafka') ? missingBroker() : false
}

export async function openPlace(transport: Transport): Promise<Place> {
  const stack = new AsyncDisposableStack()
  const id = randomUUID().slice(0, 8)
  const channel = `sluice-test-${id}`
  const kind = transport.includes('rabbitmq') ? 'rabbitmq' : transport.includes('kafka') ? 'kafka' : undefined
  const vhost = kind === 'rabbitmq' ? stack.use(await ownVhost()).broker : undefined
  if (kind === 'kafka') stack.defer(() => removeTopics(channel))
  const { url } = await serverAt('postgres')
  const databases = new Map<Role, Promise<string>>()
  const dsnOf = async (role: Role): Promise<string> => {
    // The log alone has one for both.
    const whose = transport === 'log' ? 'writer' : role
    let dsn = databases.get(whose)
    if (dsn === undefined) databases.set(whose, (dsn = ownDatabase(url).then((own) => stack.use(own).dsn)))
    return dsn
  }

  const join = async (role: Role, options: ServiceOptions = {}): Promise<Service> => {
    const { log, address, away = false, limits = {}, before, ...rest } = options
    // Made before what uses it, and dropped after.
    const dsn = transport.startsWith('log') ? await dsnOf(role) : undefined
    const own = stack.use(new AsyncDisposableStack())
    const appName = transport === 'log' ? `test-${id}` : `${role}-${id}`
    const with_ = { appName, ...(log === undefined ? {} : { log }) }
    const required: Record<string, ComponentBase> = {}
    if (dsn !== undefined) {
      const db = await connectComponent(postgres({ dsn, maxOpenConns: 8 }), with_)
      required['postgres'] = own.use(db).api
    }
    if (kind !== undefined) {
      const definition =
        kind === 'kafka'
          ? kafka({ brokers: address ?? BROKER, ...limits })
          : rabbitmq(at(vhost!, { dialTimeout: '1s', ...limits }, address))
      required[kind] = own.use(
        await keptConnected(definition as Definition, { name: 'mq', ...with_ }, away),
      ).api
    }
    const definition = events({
      ...(kind === undefined ? {} : { transport: kind }),
      channel,
      partitions: 3,
      ...rest,
    })
    const component = own.use(await openComponent(definition, { ...with_, required }))
    before?.(component.api)
    await component.connect()
    const service: Service = {
      events: component.api,
      component,
      db: required['postgres'] as Postgres | undefined,
      broker: kind === undefined ? undefined : required[kind],
      appName,
      [Symbol.asyncDispose]: () => own.disposeAsync(),
    }
    return service
  }

  return { transport, vhost, channel, dsn: dsnOf, join, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}
