/**
 * What an app is made of from the moment it is created: options checked, parts that know of each other put together. No
 * I/O and no timer. What has to wait for the configuration is in configured.ts.
 */
import { AppLog } from './app-log.ts'
import { createAppServer } from './app-server.ts'
import { AppState } from './app-state.ts'
import { checkOptions } from './check-options.ts'
import { checkGraph } from './graph.ts'
import { detailAccess } from './http/access.ts'
import { httpLimits } from './http/options.ts'
import type { AppServer } from './http/server.ts'
import { checkNodeVersion } from './node-version.ts'
import { checkName, resolveHealth, resolveShutdown, type AppOptions, type ResolvedHealth } from './options.ts'
import { Overload } from './overload.ts'
import { resolveRequirements } from './requirements.ts'
import type { AppFacts, Components, Http, UserSchemas } from './service.ts'
import { Services } from './services.ts'
import { StopSequence } from './stop-sequence.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { createBackground, type Background } from '../pool/background.ts'
import type { Logger } from '../telemetry/log.ts'
import { failureLog } from '../telemetry/log-limit.ts'
import type { Metrics } from '../telemetry/metric.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { traceDetached } from '../telemetry/trace.ts'

export interface AppParts {
  readonly name: string
  readonly definitions: Components
  readonly clock: Clock
  readonly random: () => number
  readonly health: ResolvedHealth
  readonly appLog: AppLog
  readonly log: Logger
  readonly metrics: Metrics
  readonly state: AppState
  readonly stopping: StopSequence
  readonly background: Background
  readonly overload: Overload | undefined
  readonly server: AppServer
  readonly services: Services
}

/** What the server and the services ask for. */
type Shared = Omit<AppParts, 'server' | 'services'>

/** Throws SLUICE_INVALID_ARGUMENT for wrong options, and SLUICE_CONFIG for components that do not fit together. */
export function createParts(options: AppOptions<Components, UserSchemas>): AppParts {
  checkNodeVersion()
  checkOptions(options)
  const { clock = systemClock, random = Math.random } = options
  const name = checkName(options.name)
  const definitions = resolveRequirements(options.components ?? {})
  checkGraph(definitions)
  const health = resolveHealth(options.health ?? {}, Object.keys(definitions))
  const limits = httpLimits(options.http ?? {})
  const appLog = new AppLog({ name, clock, own: options.logger })
  const { log } = appLog
  const stopping = new StopSequence({
    name,
    clock,
    log,
    limits: resolveShutdown(options.shutdown ?? {}),
    env: options.env ?? process.env,
    settings: () => state.ifConfigured?.settings.app,
  })
  const state: AppState = new AppState({
    name,
    clock,
    gates: health.gates,
    draining: () => stopping.draining,
    startsPending: () => services.startsPending,
  })
  const tellFailure = failureLog(log, clock)
  const background = createBackground({
    clock,
    onError: (error, work) => tellFailure(work, { err: error, work }, `background work ${work} failed`),
    trace: traceDetached,
  })
  const overload = limits.overload && new Overload(limits.overload)
  const shared: Shared = {
    name,
    definitions,
    clock,
    random,
    health,
    appLog,
    log,
    metrics: createMetrics(),
    state,
    stopping,
    background,
    overload,
  }
  const services: Services = createServices(shared)
  const server = createAppServer({
    ...shared,
    limits,
    // Responses that end their connections make clients come back at once: with no delay to serve them in, new ones must
    // be refused before, or they are reset while they wait to be accepted.
    draining: () => stopping.draining && (stopping.drainDelayMs > 0 || !server.accepting),
    reconnectMs: (component) => state.ifConfigured?.init.retryInMs(component) ?? 0,
    version: () => state.ifConfigured?.settings.app.version,
    readiness: () => state.readiness,
    started: () => state.listening,
    init: () => state.ifConfigured?.init,
    services,
    mayDetail: detailAccess(health),
    hasToken: health.token !== undefined,
  })
  return { ...shared, services, server }
}

function createServices({ name, clock, random, log, state, stopping, background }: Shared): Services {
  const app = factsOf(name, stopping.signal)
  return new Services({
    clock,
    random,
    log,
    components: () => state.init.apis,
    disabledReason: (component) => state.init.disabledReason(component),
    isReady: (component) => state.init.everConnected(component),
    reconnectMs: (component) => state.init.retryInMs(component),
    isEnabled: (service) => state.ifConfigured?.settings.serviceEnabled(service) ?? true,
    redact: (text) => state.configured.redact(text),
    extras: (service, http) => ({
      http: http as unknown as Http,
      background,
      pool: state.configured.pool,
      log: log.child({ service }),
      clock,
      app,
      config: state.settings.config.user,
    }),
  })
}

function factsOf(name: string, signal: AbortSignal): AppFacts {
  return {
    name,
    signal,
    get draining() {
      return signal.aborted
    },
  }
}
