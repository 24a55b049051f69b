/** The s3 component: a bucket where S3_BUCKET names one, else files in a directory. */
import type { FastifyInstance } from 'fastify'
import type { Component, ComponentContext, ComponentDefinition } from '../../app/component.ts'
import type { Timer } from '../../core/clock.ts'
import type { Duration } from '../../core/duration.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { S3 } from './api.ts'
import { createClient } from './client.ts'
import { addRoutes } from './directory/routes.ts'
import { createDirectoryStore } from './directory/store.ts'
import { Downloads } from './downloads.ts'
import { keysUnder } from './keys.ts'
import { s3Section, type CHECKSUMS, type S3Config } from './section.ts'
import { createS3Store } from './server/store.ts'
import { Uploads } from './uploads.ts'

/** Options in code; each wins over environment and file. Durations are milliseconds or text such as `'5s'`. */
export interface S3Options {
  /** MinIO or another service that speaks the protocol. @default S3_ENDPOINT; without it, Amazon */
  readonly endpoint?: string
  /** @default S3_BUCKET; without it, objects are files in `directory` */
  readonly bucket?: string
  /** @default false */
  readonly createBucket?: boolean
  /** @default 'us-east-1' */
  readonly region?: string
  readonly accessKeyId?: string
  readonly secretAccessKey?: string
  readonly sessionToken?: string
  /** @default true where an endpoint is set */
  readonly forcePathStyle?: boolean
  /** Put before every key. @default none */
  readonly keyPrefix?: string
  /** https for an endpoint that is written as host:port. @default false */
  readonly tls?: boolean
  /** false accepts any certificate; for tests only. @default true */
  readonly tlsRejectUnauthorized?: boolean
  /** Files. @default those of Node.js; none */
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  /** @default 'always' */
  readonly checksums?: (typeof CHECKSUMS)[number]
  /** @default '5s' */
  readonly dialTimeout?: Duration
  /** @default '30s' */
  readonly requestTimeout?: Duration
  /** @default '30s' */
  readonly idleTimeout?: Duration
  /** @default '8mb' */
  readonly partSize?: number | string
  /** @default 3 */
  readonly partConcurrency?: number
  /** @default 32 */
  readonly maxRequests?: number
  /** @default 8 */
  readonly maxUploads?: number
  /** @default 32 */
  readonly maxDownloads?: number
  /** @default 10000 */
  readonly maxWaiting?: number
  /** @default 2 */
  readonly maxRetries?: number
  /** @default never on S3, a day in a directory */
  readonly sweepAfter?: Duration
  /** @default '.sluice/<app>/s3' */
  readonly directory?: string
  /** @default the address that the app listens on */
  readonly publicUrl?: string
  /** @default a key in the directory */
  readonly signingKey?: string
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

const WORKERS = 8
const CONNECT_TIMEOUT_MS = 300_000
const BREAKER_THRESHOLD = 20
const BREAKER_RESET_MS = 1_000
const DAY_MS = 86_400_000
/** Sweeps in the time after which parts are taken for left behind. */
const SWEEPS = 4

/**
 * An s3 component for `createApp`. Operations reject with SLUICE_NOT_READY until it is connected, SLUICE_TIMEOUT at their
 * deadline, SLUICE_NOT_FOUND for a key that is not there, SLUICE_UNAVAILABLE when the service cannot be reached.
 */
export function s3(options: S3Options = {}): ComponentDefinition<S3, typeof s3Section.fields> {
  const { dependsOn = [], ...overrides } = options
  return {
    kind: 's3',
    section: s3Section,
    overrides,
    dependsOn,
    workers: WORKERS,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    create: createS3,
  }
}

function createS3(context: ComponentContext<S3Config>): Component<S3> {
  const { config, name, clock, log, base } = context
  const limits = {
    timeoutMs: config.requestTimeout,
    maxWaiting: config.maxWaiting,
    raise: 'maxWaiting (S3_MAX_WAITING)',
    breakerThreshold: BREAKER_THRESHOLD,
    breakerResetMs: BREAKER_RESET_MS,
    retries: config.maxRetries,
  }
  const operations = context.operations({ ...limits, maxConcurrent: config.maxRequests })
  const downloading = context.operations({ ...limits, maxConcurrent: config.maxDownloads })
  // A transfer has no length that is known, so no deadline: its parts have, and its stream may not stand still.
  const transfers = context.operations({
    ...limits,
    timeoutMs: Infinity,
    maxConcurrent: config.maxUploads,
    breakerThreshold: 0,
    retries: 0,
  })
  const directory = config.bucket === undefined ? createDirectoryStore(context) : undefined
  const store = directory ?? createS3Store({ context, operations })
  const uploads = new Uploads({ context, store, operations, transfers })
  const downloads = new Downloads({ context, store, operations: downloading })
  const parts = { base, context, store, operations, uploads, downloads }
  const api = createClient({ ...parts, keys: keysUnder(config.keyPrefix ?? '') })
  const sweepAfterMs = config.sweepAfter ?? (directory === undefined ? undefined : DAY_MS)
  let sweeping: Timer | undefined

  const sweepLater = (): void => {
    if (sweepAfterMs === undefined) return
    sweeping = clock.setTimer(
      () => {
        api.sweep({ olderThan: sweepAfterMs, timeout: sweepAfterMs / SWEEPS }).then(
          (swept) => {
            if (swept > 0) log.info({ swept }, `${name}: ended uploads that were left half done`)
          },
          (error: unknown) =>
            log.debug({ err: toError(error) }, `${name}: a sweep failed; the next one is due`),
        )
        sweepLater()
      },
      sweepAfterMs / SWEEPS,
      { keepAlive: false },
    )
  }

  return {
    api,
    connect: async (signal) => {
      await store.open(signal)
      sweeping?.cancel()
      sweepLater()
    },
    check: (signal) => store.check(signal),
    close: async (signal) => {
      sweeping?.cancel()
      const reason = new SluiceError('SLUICE_CLOSED', `${name} was closed`, { component: name })
      downloads.close(reason)
      await uploads.close(reason, signal).catch(() => undefined)
      await store.close(signal)
    },
    ...(directory !== undefined && {
      routes: (http: FastifyInstance) => {
        directory.routes?.(http)
        addRoutes(http, {
          component: name,
          secret: directory.secret,
          now: () => clock.now(),
          // Keys in URLs have the prefix already.
          api: createClient({ ...parts, keys: keysUnder('') }),
          ready: () => api.list({ pageSize: 1 }).pages().next(),
        })
      },
    }),
    inspect: () => ({
      ...store.inspect(),
      requests: { running: operations.running, waiting: operations.waiting },
      uploads: uploads.facts,
      downloads: downloads.facts,
    }),
  }
}
