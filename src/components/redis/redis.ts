/** The redis component: a server where REDIS_ADDR names one, else the memory of this process. */
import type { Component, ComponentContext, ComponentDefinition } from '../../app/component.ts'
import { waitOrAbort } from '../../core/abort.ts'
import type { Duration } from '../../core/duration.ts'
import { SluiceError } from '../../core/errors.ts'
import { parseAddress } from './address.ts'
import type { Redis } from './api.ts'
import type { Backend } from './backend.ts'
import { createClient } from './client.ts'
import { ReadThrough } from './cached.ts'
import { keyMapper } from './commands/command.ts'
import { allCommands } from './commands/index.ts'
import { createInvoker } from './invoke.ts'
import { createMemoryBackend } from './memory/backend.ts'
import { redisSection, type RedisConfig } from './section.ts'
import { createServerBackend } from './server/backend.ts'
import type { ChannelSubscription } from './subscription.ts'

/** Options in code; each wins over environment and file. Durations are milliseconds or text such as `'5s'`. */
export interface RedisOptions {
  /** `host:port`, or a `redis://`, `rediss://` or `unix://` URL. @default REDIS_ADDR; without it, in memory */
  readonly addr?: string
  readonly username?: string
  readonly password?: string
  /** Database number. @default 0 */
  readonly db?: number
  /** Put before every key and channel. @default none */
  readonly keyPrefix?: string
  /** Retries of a command that may be repeated. @default 2 */
  readonly maxRetries?: number
  /** @default '5s' */
  readonly dialTimeout?: Duration
  /** @default '3s' */
  readonly readTimeout?: Duration
  /** @default '3s' */
  readonly writeTimeout?: Duration
  /** @default '1s' */
  readonly poolTimeout?: Duration
  /** Connections at most. @default 1 */
  readonly poolSize?: number
  /** @default 1 */
  readonly minIdleConns?: number
  /** @default 0, never */
  readonly maxConnAge?: Duration
  /** @default '5m' */
  readonly idleTimeout?: Duration
  /** @default '5s' */
  readonly pingInterval?: Duration
  /** Operations under way at once. @default 1024 */
  readonly maxInFlight?: number
  /** Operations that may wait. @default 10000 */
  readonly maxWaiting?: number
  /** In memory: keys at most. @default 100000 */
  readonly maxEntries?: number
  /** In memory: estimated bytes at most. @default '64mb' */
  readonly maxBytes?: number | string
  /** false accepts any certificate; for tests only. @default true */
  readonly tlsRejectUnauthorized?: boolean
  /** File with the authorities that may vouch for the server. @default those of Node.js */
  readonly tlsCa?: string
  /** File with the certificate of the client. @default none */
  readonly tlsCert?: string
  /** File with the key of that certificate. @default none */
  readonly tlsKey?: string
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

/** Commands of pipelines count one by one, so that the driver's queue may hold more than there are operations. */
const MAX_QUEUED_COMMANDS = 200_000
/** One lost connection fails all that it carried, so it takes a burst and not a few calls: in a row, or half of so many. */
const BREAKER_THRESHOLD = 50
/** Short, as a connection that came back has proved itself by a PING: the breaker is for the time until a freeze is found. */
const BREAKER_RESET_MS = 250

/**
 * A redis component for `createApp`. Operations reject with SLUICE_NOT_READY until it is connected, SLUICE_TIMEOUT at
 * their deadline, SLUICE_UNAVAILABLE when the connection is lost, SLUICE_OUTCOME_UNKNOWN when it is lost after
 * something was sent that may not be repeated.
 */
export function redis(options: RedisOptions = {}): ComponentDefinition<Redis, typeof redisSection.fields> {
  const { dependsOn = [], ...overrides } = options
  return {
    kind: 'redis',
    section: redisSection,
    overrides,
    dependsOn,
    workers: 10,
    connectTimeoutMs: 30_000,
    create: createRedis,
  }
}

function createRedis(context: ComponentContext<RedisConfig>): Component<Redis> {
  const { config } = context
  const backend = createBackend(context)
  const operations = context.operations({
    timeoutMs: config.poolTimeout + Math.max(config.readTimeout, config.writeTimeout),
    maxConcurrent: config.maxInFlight,
    maxWaiting: config.maxWaiting,
    raise: 'maxWaiting (REDIS_MAX_WAITING)',
    breakerThreshold: BREAKER_THRESHOLD,
    breakerResetMs: BREAKER_RESET_MS,
    retries: Math.max(0, config.maxRetries),
  })
  const key = keyMapper(config.keyPrefix ?? '')
  const { name, clock, random, log, metrics } = context
  const invoker = createInvoker({
    name,
    clock,
    random,
    log,
    metrics,
    key,
    commands: allCommands(key),
    operations,
    backend,
  })
  const readThrough = new ReadThrough(invoker)
  const subscriptions = new Set<ChannelSubscription>()
  const dropped = metrics
    .counter(
      'sluice_redis_messages_dropped_total',
      'Messages that a subscription dropped as its queue was full.',
    )
    .with({ component: name })
  return {
    api: createClient({
      base: context.base,
      invoker,
      backend,
      readThrough,
      subscriptions,
      onDropped: () => dropped.add(),
    }),
    connect: (signal) => backend.open(signal),
    check: (signal) => backend.check(signal),
    close: async (signal) => {
      readThrough.close()
      await Promise.all(
        [...subscriptions].map((subscription) =>
          waitOrAbort(subscription.close(), signal).catch(() => undefined),
        ),
      )
      await backend.close(signal)
    },
    inspect: () => backend.inspect(),
  }
}

function createBackend(context: ComponentContext<RedisConfig>): Backend {
  const { config, clock, log } = context
  if (config.addr === undefined) return createMemoryBackend(context.name, config, clock)
  const address = parseAddress(config.addr)
  // The section has parsed it already; a context made by hand may hold anything.
  if ('expected' in address)
    throw new SluiceError('SLUICE_CONFIG', `redis.addr: expected ${address.expected}`)
  if (address.tls && !config.tlsRejectUnauthorized) {
    log.warn(
      { component: context.name },
      `${context.name}: certificates are not verified (tlsRejectUnauthorized: false)`,
    )
  }
  return createServerBackend({
    settings: {
      component: context.name,
      address,
      username: config.username ?? address.username,
      password: config.password ?? address.password,
      db: config.db ?? address.db ?? 0,
      // CLIENT SETNAME takes no spaces and nothing outside of ASCII.
      clientName: `${context.appName}:${context.name}`.replace(/[^!-~]/g, '-'),
      dialTimeoutMs: config.dialTimeout,
      replyTimeoutMs: Math.max(config.readTimeout, config.writeTimeout),
      pingIntervalMs: config.pingInterval,
      maxQueued: MAX_QUEUED_COMMANDS,
      rejectUnauthorized: config.tlsRejectUnauthorized,
      tlsFiles: { ca: config.tlsCa, cert: config.tlsCert, key: config.tlsKey },
      clock,
    },
    poolSize: config.poolSize,
    minIdle: config.minIdleConns,
    maxAgeMs: config.maxConnAge,
    idleTimeoutMs: config.idleTimeout,
    onLost: (error) => context.lost(error),
    random: context.random,
    log,
  })
}
