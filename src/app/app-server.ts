/** The HTTP server of an app: the routes of its health, metrics and OpenAPI document, and what it asks the app for each request. */
import type { FastifyRequest } from 'fastify'
import { registerHealth, type HealthRoutesOptions } from './http/health-routes.ts'
import { createOpenApi } from './http/openapi.ts'
import type { HttpLimits } from './http/options.ts'
import { observeRoutes } from './http/route-metrics.ts'
import { createHttpServer, type AppServer } from './http/server.ts'
import type { Overload } from './overload.ts'
import type { AppValues } from '../config/app-section.ts'
import type { Logger } from '../telemetry/log.ts'

type HealthFacts = Pick<
  HealthRoutesOptions,
  'readiness' | 'started' | 'init' | 'services' | 'metrics' | 'hasToken'
>

export interface AppServerOptions extends HealthFacts {
  /** Title of the OpenAPI document. */
  readonly name: string
  readonly limits: HttpLimits
  readonly overload: Overload | undefined
  readonly log: Logger
  readonly draining: () => boolean
  /** Milliseconds until the next attempt to connect a component. */
  readonly reconnectMs: (component: string) => number
  /** Version of the app, for the OpenAPI document; undefined while it is not known. */
  readonly version: () => string | undefined
  readonly mayDetail: (request: FastifyRequest) => boolean
}

/** Seconds for which a client that was turned away is asked to stay away. */
const SHED_RETRY_SECONDS = 2

export function createAppServer(options: AppServerOptions): AppServer {
  const { name, limits, overload, log, draining, reconnectMs, version, ...health } = options
  const server = createHttpServer({
    limits,
    log,
    draining,
    reconnectMs,
    shedding: () => (overload?.reason === undefined ? undefined : SHED_RETRY_SECONDS),
    unmatched: () => unmatched,
  })
  const unmatched = observeRoutes(server.fastify, options.metrics)
  const openapi = createOpenApi()
  if (limits.openapi !== false) openapi.collect(server.fastify)
  const document = () => openapi.document({ title: name, version: version() ?? '0.0.0' })
  registerHealth(server.fastify, {
    ...health,
    openapi: limits.openapi === false ? undefined : document,
    openapiIsPublic: limits.openapi === 'public',
  })
  return server
}

/** What the configuration decides of the server. */
export function configureServer(server: AppServer, app: AppValues): void {
  server.configure({
    bodyLimit: app.bodyLimit,
    maxJsonDepth: app.maxJsonDepth,
    requestTimeoutMs: app.requestTimeout,
    keepAliveTimeoutMs: app.keepAliveTimeout,
    host: app.host,
    hosts: app.hosts?.includes('any') ? 'any' : app.hosts,
  })
}
