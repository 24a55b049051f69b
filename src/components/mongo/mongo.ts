/** The mongo component. */
import type {
  Component,
  ComponentContext,
  ComponentDefinition,
  OperationLimits,
} from '../../app/component.ts'
import { waitOrAbort } from '../../core/abort.ts'
import type { Duration } from '../../core/duration.ts'
import { SluiceError } from '../../core/errors.ts'
import { parseAddress } from './address.ts'
import type { Mongo } from './api.ts'
import { Handle } from './client/handle.ts'
import { loadMongo, type MongoModule } from './client/peer.ts'
import { clientSettings } from './client/settings.ts'
import { createDatabase } from './database.ts'
import { Databases } from './databases.ts'
import type { DatabaseHost } from './host.ts'
import { OpenSet } from './open-set.ts'
import { mongoSection, type MongoConfig } from './section.ts'

/** Options in code; each wins over environment and file. Durations are milliseconds or text such as `'5s'`. */
export interface MongoOptions {
  /** @default MONGO_URL; without it, and without `connections`, the component is disabled */
  readonly url?: string
  /** @default MONGO_DATABASE, else that of the URL, else the name of the app */
  readonly database?: string
  readonly username?: string
  readonly password?: string
  /** More databases by name, each with its URL: `mongo.database(name)`. @default `mongo.multi_config` */
  readonly connections?: Readonly<Record<string, string>>
  /** @default 20 */
  readonly maxPoolSize?: number
  /** @default 0 */
  readonly minPoolSize?: number
  /** @default '10m' */
  readonly maxIdleTime?: Duration
  /** @default 10000 */
  readonly maxWaiting?: number
  /** @default '5s' */
  readonly dialTimeout?: Duration
  /** @default '5s' */
  readonly selectionTimeout?: Duration
  /** @default '5s' */
  readonly heartbeat?: Duration
  /** @default '10s' */
  readonly requestTimeout?: Duration
  /** @default '30s' */
  readonly transactionTimeout?: Duration
  /** @default 2 */
  readonly maxRetries?: number
  /** @default 10000 */
  readonly maxDocuments?: number
  /** @default 500 */
  readonly batchSize?: number
  /** @default 100 */
  readonly maxStreams?: number
  /** @default 20 */
  readonly maxWatches?: number
  /** @default '60s' */
  readonly idleTimeout?: Duration
  /** @default true for mongodb+srv, and where a file below is set */
  readonly tls?: boolean
  /** Files. @default those of Node.js; none */
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  /** false accepts any certificate; for tests only. @default true */
  readonly tlsRejectUnauthorized?: boolean
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

const WORKERS = 12
const CONNECT_TIMEOUT_MS = 30_000
const BREAKER_THRESHOLD = 10
const BREAKER_RESET_MS = 1_000
/** Calls at once on named databases, whose own pools hold them back. */
const NAMED_CALLS = 1_000
const REMOVE = Object.freeze({ name: 'removeDatabase', idempotent: false })

/**
 * A mongo component for `createApp`. It is disabled unless its address is configured. Calls reject with
 * SLUICE_NOT_READY until it is connected, SLUICE_TIMEOUT at their deadline, SLUICE_CONFLICT for a duplicate key.
 */
export function mongo(options: MongoOptions = {}): ComponentDefinition<Mongo, typeof mongoSection.fields> {
  const { dependsOn = [], connections, ...values } = options
  const multiConfig =
    connections === undefined
      ? {}
      : { multiConfig: Object.fromEntries(Object.entries(connections).map(([name, url]) => [name, { url }])) }
  return {
    kind: 'mongo',
    section: mongoSection,
    overrides: { ...values, ...multiConfig },
    dependsOn,
    needsConfiguration: true,
    workers: WORKERS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    create: createMongo,
  }
}

function createMongo(context: ComponentContext<MongoConfig>): Component<Mongo> {
  const { config, name, appName, clock, random, log, metrics, base } = context
  const entries = Object.entries(config.multiConfig ?? {}).filter(([, each]) => each.enabled)
  const url = config.url ?? entries[0]?.[1].url ?? ''
  const database = mainDatabase(config, url, appName)
  let module: MongoModule | undefined
  let handle: Handle | undefined

  const main = (): Handle => {
    if (handle !== undefined) return handle
    throw new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, {
      component: name,
      retryable: true,
    })
  }
  const host: DatabaseHost = {
    component: name,
    config,
    clock,
    random,
    log,
    ...operationsOf(context),
    streams: new OpenSet(name, 'streams', config.maxStreams, 'MONGO_MAX_STREAMS'),
    watches: new OpenSet(name, 'change streams', config.maxWatches, 'MONGO_MAX_WATCHES'),
    database,
    handle: main,
    module: () => {
      if (module !== undefined) return module
      throw new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, {
        component: name,
        retryable: true,
      })
    },
  }
  const connectTo = (address: string, isMain: boolean): Handle =>
    new Handle(
      name,
      host.module(),
      address,
      clientSettings({ component: name, appName, config, isMain }),
      clock,
    )
  const databases = new Databases({
    component: name,
    host: { ...host, single: namedOperations(context) },
    main,
    connect: (address) => connectTo(address, false),
    connectMs: config.dialTimeout + config.selectionTimeout,
  })
  for (const [each, settings] of entries)
    databases.add(each, {
      ...(settings.url !== undefined && { url: settings.url }),
      ...(settings.database !== undefined && { database: settings.database }),
    })
  const connections = (): number => (handle?.connections ?? 0) + databases.connections
  const unobserve = metrics.observe(
    'sluice_mongo_connections',
    'Connections of all databases.',
    { component: name },
    connections,
  )

  const closeAll = async (): Promise<void> => {
    const reason = new SluiceError('SLUICE_CLOSED', `${name} was closed`, { component: name })
    await Promise.all([host.streams.closeAll(reason), host.watches.closeAll(reason)])
    const old = handle
    handle = undefined
    await Promise.all([old?.close(), databases.close()])
  }

  return {
    api: {
      ...base,
      ...createDatabase(host),
      database: (each) => databases.find(each),
      databases: () => databases.names,
      addDatabase: (each, options) => databases.add(each, options),
      removeDatabase: (each) => host.transactions.run(REMOVE, () => databases.remove(each)),
    },
    connect: async (signal) => {
      signal.throwIfAborted()
      module ??= await waitOrAbort(loadMongo(), signal)
      if (!config.tlsRejectUnauthorized)
        log.warn({ component: name }, `${name}: certificates are not verified (tlsRejectUnauthorized: false)`)
      await handle?.close()
      handle = undefined
      const opened = connectTo(url, true)
      try {
        await opened.open(signal)
      } catch (error) {
        await opened.close()
        throw error
      }
      handle = opened
    },
    check: (signal) => main().ping(signal),
    stopIntake: async () => {
      const reason = new SluiceError('SLUICE_CLOSED', `${name} takes no new changes`, { component: name })
      await host.watches.closeAll(reason)
    },
    close: async (signal) => {
      unobserve()
      await waitOrAbort(closeAll(), signal)
    },
    inspect: () => ({
      hosts: hostsOf(url),
      database,
      topology: handle?.topology ?? null,
      connections: connections(),
      databases: [...databases.names],
      streams: host.streams.size,
      watches: host.watches.size,
      requests: { running: host.single.running, waiting: host.single.waiting },
    }),
  }
}

function operationsOf(
  context: ComponentContext<MongoConfig>,
): Pick<DatabaseHost, 'inside' | 'single' | 'transactions' | 'watching'> {
  const { config } = context
  const own: OperationLimits = {
    timeoutMs: config.requestTimeout,
    maxConcurrent: 1_000_000,
    maxWaiting: 0,
    // What fails in them is mostly the user's own function, or one change stream.
    breakerThreshold: 0,
    breakerResetMs: 0,
    retries: 0,
  }
  return {
    single: context.operations({ ...limitsOf(config), maxConcurrent: config.maxPoolSize }),
    transactions: context.operations({
      ...own,
      timeoutMs: config.transactionTimeout,
      maxConcurrent: config.maxPoolSize,
      maxWaiting: config.maxWaiting,
      raise: 'MONGO_MAX_WAITING',
    }),
    inside: context.operations(own),
    // The server answers a change stream after a second at the latest.
    watching: context.operations({ ...own, timeoutMs: config.requestTimeout + 1_000 }),
  }
}

/** No breaker: one that is away says nothing of the others. */
function namedOperations(context: ComponentContext<MongoConfig>): DatabaseHost['single'] {
  return context.operations({ ...limitsOf(context.config), maxConcurrent: NAMED_CALLS, breakerThreshold: 0 })
}

function limitsOf(config: MongoConfig): Omit<OperationLimits, 'maxConcurrent'> {
  return {
    timeoutMs: config.requestTimeout,
    maxWaiting: config.maxWaiting,
    raise: 'MONGO_MAX_POOL_SIZE or MONGO_MAX_WAITING',
    breakerThreshold: BREAKER_THRESHOLD,
    breakerResetMs: BREAKER_RESET_MS,
    retries: config.maxRetries,
  }
}

function mainDatabase({ database, url, multiConfig }: MongoConfig, address: string, appName: string): string {
  if (database !== undefined) return database
  const parsed = parseAddress(address)
  if ('database' in parsed && parsed.database !== undefined) return parsed.database
  const first = Object.entries(multiConfig ?? {}).find(([, each]) => each.enabled)
  if (url === undefined && first !== undefined) return first[1].database ?? first[0]
  return appName.replaceAll(/[^a-zA-Z0-9_-]/g, '-').slice(0, 63) || 'sluice'
}

function hostsOf(url: string): readonly string[] {
  const parsed = parseAddress(url)
  return 'hosts' in parsed ? parsed.hosts : []
}
