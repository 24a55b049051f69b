/** What is behind an app: its parts, put together, started and stopped. The public face is app.ts. */
import type { FastifyInstance } from 'fastify'
import { deferredLogger } from './deferred-logger.ts'
import { detailAccess } from './http/access.ts'
import { drainHttp } from './http/drain.ts'
import { registerHealth } from './http/health-routes.ts'
import { createOpenApi } from './http/openapi.ts'
import { httpLimits, type HttpLimits } from './http/options.ts'
import { observeRoutes, type RouteMetrics } from './http/route-metrics.ts'
import { createHttpServer, type AppServer } from './http/server.ts'
import { readiness, type Readiness } from './health.ts'
import { checkGraph, Init } from './init.ts'
import { currentInspector, type InspectedApp } from './inspection-hook.ts'
import {
  resolveHealth,
  resolveShutdown,
  type AppOptions,
  type ResolvedHealth,
  type ShutdownLimits,
} from './options.ts'
import { Overload, startPulse } from './overload.ts'
import { redactorOf } from './redaction.ts'
import type { AppFacts, Components, Http, ServiceExtras, UserSchemas } from './service.ts'
import { Services } from './services.ts'
import { loadOptions, loadSettings, type Settings } from './settings.ts'
import { Steps } from './shutdown.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { Lifecycle } from '../core/lifecycle.ts'
import { createBackground, type Background } from '../pool/background.ts'
import { WorkerPool } from '../pool/worker-pool.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metric.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createLogger, type ProcessLogger } from '../telemetry/pino.ts'
import { observePool } from '../telemetry/pool-metrics.ts'
import { observeProcess } from '../telemetry/process-metrics.ts'
import { createRedactor } from '../telemetry/redact.ts'
import { traceDetached } from '../telemetry/trace.ts'

/** Where the app listens. */
export interface Address {
  readonly host: string
  readonly port: number
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string
}

/** Told about the shutdown as it goes. */
export interface StopWatcher {
  begins(budgetMs: number): void
  step(name: string): void
  /** Are stalls of the event loop reported by somebody who can see where it hangs? */
  seesStalls(): boolean
}

/** Seconds for which a client that was turned away is asked to stay away. */
const SHED_RETRY_SECONDS = 2
const KUBERNETES_DRAIN_MS = 5_000
const FATAL_BUDGET_MS = 5_000
/** Drivers are imported in pieces of up to 20 ms each; the port has been open for this long by then. */
const CONNECT_AFTER_MS = 25

export class Runtime {
  readonly name: string
  readonly log: Logger
  readonly metrics: Metrics = createMetrics()
  readonly services: Services
  readonly background: Background
  readonly limits: ShutdownLimits
  readonly #deferred = deferredLogger()
  readonly #options: AppOptions<Components, UserSchemas>
  readonly #definitions: Components
  readonly #clock: Clock
  readonly #random: () => number
  readonly #health: ResolvedHealth
  readonly #server: AppServer
  readonly #overload: Overload | undefined
  readonly #lifecycle: Lifecycle
  readonly #stopping = new AbortController()
  readonly #facts: AppFacts
  #unmatched: RouteMetrics | undefined
  #process: ProcessLogger | undefined
  #settings: Settings | undefined
  #pool: WorkerPool | undefined
  #init: Init | undefined
  #address: Address | undefined
  #listeningAt: number | undefined
  #stopPulse: (() => void) | undefined
  #connectTimer: NodeJS.Timeout | undefined
  #steps: Steps | undefined
  #hurryMs: number | undefined
  #watcher: StopWatcher | undefined
  #inspected: InspectedApp | undefined
  #failure: Error | undefined
  #fatal = false
  #exitCode = 0

  constructor(options: AppOptions<Components, UserSchemas>) {
    this.#options = options
    this.name = checkName(options.name)
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? Math.random
    this.log = options.logger ?? this.#deferred
    this.#definitions = options.components ?? {}
    checkGraph(this.#definitions)
    this.#health = resolveHealth(options.health ?? {}, Object.keys(this.#definitions))
    this.limits = resolveShutdown(options.shutdown ?? {})
    this.#facts = factsOf(this.name, this.#stopping.signal)
    this.background = createBackground({
      clock: this.#clock,
      onError: (error, work) => this.log.error({ err: error, work }, `background work ${work} failed`),
      trace: traceDetached,
    })
    const limits = httpLimits(options.http ?? {})
    this.#overload = limits.overload && new Overload(limits.overload)
    this.#server = this.#createServer(limits)
    this.services = this.#createServices()
    this.#lifecycle = new Lifecycle({
      name: `app "${this.name}"`,
      start: (signal) => this.#start(signal),
      stop: () => this.#stop(),
      onError: (error, what) => this.log.error({ err: error }, what),
    })
  }

  get http(): Http {
    return this.#server.fastify as unknown as Http
  }
  get init(): Init {
    return this.#started(this.#init)
  }
  get settings(): Settings {
    return this.#started(this.#settings)
  }
  get pool(): WorkerPool {
    return this.#started(this.#pool)
  }
  get address(): Address {
    return this.#started(this.#address)
  }
  get apis(): Readonly<Record<string, object>> {
    return Object.fromEntries([...this.init.apis].filter(([, api]) => api !== undefined)) as Record<
      string,
      object
    >
  }
  get stopping(): AbortSignal {
    return this.#stopping.signal
  }
  /** What the shutdown may take, in milliseconds. */
  get budgetMs(): number {
    return this.#settings?.app.shutdownTimeout ?? 25_000
  }

  get readiness(): Readiness {
    const init = this.#init
    return readiness({
      started: this.#listeningAt !== undefined,
      draining: this.#stopping.signal.aborted,
      sinceStartMs: this.#clock.monotonic() - (this.#listeningAt ?? Infinity),
      maxStartupMs: this.#settings?.app.startupGate ?? 0,
      components: (init?.enabled ?? []).map((name) => ({
        gate: this.#health.gates[name] ?? 'startup',
        everUp: init?.everConnected(name) ?? false,
        up: init?.isUp(name) ?? false,
      })),
    })
  }

  /** Lets the command line see the app. */
  announce(run: () => Promise<unknown>): void {
    this.#inspected = {
      name: this.name,
      components: this.#definitions,
      load: () => loadOptions(this.#options, this.services.names),
      run,
    }
    currentInspector()?.created(this.#inspected)
  }

  async start(): Promise<void> {
    const inspected = this.#inspected
    if (inspected !== undefined && currentInspector()?.starting(inspected) === 'hold') {
      return new Promise<void>(() => {})
    }
    if (this.#failure !== undefined) {
      const text = `app "${this.name}" could not start and cannot be started again`
      throw new SluiceError('SLUICE_CLOSED', text, { cause: this.#failure })
    }
    await this.#lifecycle.start()
  }

  /** Draining begins before this returns. */
  async stop(): Promise<number> {
    this.drain()
    await this.#lifecycle.stop()
    return this.#exitCode
  }

  /** From now on /readyz says 503 and responses end their connections. Synchronous. */
  drain(): void {
    if (this.#stopping.signal.aborted) return
    clearTimeout(this.#connectTimer)
    this.#stopping.abort(new SluiceError('SLUICE_SHUTDOWN', `app "${this.name}" is stopping`))
    // From here on responses end their connections, and clients come back at once: with no delay to serve them in, new
    // connections must be refused before the first of them comes back, or it is reset while it waits to be accepted.
    if (this.#drainDelayMs() === 0) this.#server.stopAccepting()
  }

  /** Stops within seconds, without serving on, because something broke. */
  async fail(): Promise<number> {
    this.#fatal = true
    this.#steps?.hurry(FATAL_BUDGET_MS)
    return this.stop()
  }

  /** A second signal: no more waiting. */
  hurry(ms: number): void {
    this.#hurryMs = ms
    this.#steps?.hurry(ms)
  }

  watch(watcher: StopWatcher): void {
    this.#watcher = watcher
  }

  /** Hands the last lines to the system. */
  async flush(): Promise<void> {
    await this.#process?.flush()
  }

  /** Makes the log write although the app never got so far as to know how. */
  openLog(): void {
    if (this.#process !== undefined || this.#options.logger !== undefined) return
    this.#process = createLogger()
    this.#deferred.attach(this.#process)
  }

  async #start(signal: AbortSignal): Promise<void> {
    try {
      await this.#bringUp(signal)
    } catch (error) {
      this.openLog()
      this.#stopPulse?.()
      this.drain()
      this.#init?.halt()
      this.#failure = toError(error)
      // It repeats the error that brought it down.
      await this.#server.fastify.close().catch(() => {})
      throw error
    }
  }

  async #bringUp(signal: AbortSignal): Promise<void> {
    const settings = await loadSettings(loadOptions(this.#options, this.services.names))
    signal.throwIfAborted()
    this.#settings = settings
    this.#openLog(settings)
    for (const warning of settings.config.warnings) this.log.warn({}, warning)
    this.#pool = this.#createPool(settings)
    observePool(this.metrics, 'app', this.#pool)
    observePool(this.metrics, 'background', this.background)
    observeProcess(this.metrics)
    this.#init = this.#createInit(settings)
    const { bodyLimit, maxJsonDepth, requestTimeout, keepAliveTimeout } = settings.app
    this.#server.configure({
      bodyLimit,
      maxJsonDepth,
      requestTimeoutMs: requestTimeout,
      keepAliveTimeoutMs: keepAliveTimeout,
    })
    this.services.registerOn(this.#server.fastify)
    await this.#server.fastify.ready()
    signal.throwIfAborted()
    this.services.advance()
    this.#address = await this.#listen(settings)
    signal.throwIfAborted()
    this.#listeningAt = this.#clock.monotonic()
    this.#stopPulse = this.#startPulse()
    const { url } = this.#address
    this.log.info({ url }, `${this.name} listens on ${url}`)
    // The first requests do not wait for drivers to be imported. Real time: it is the real loop that is kept free.
    this.#connectTimer = setTimeout(() => this.#init?.start(), CONNECT_AFTER_MS)
  }

  async #listen({ app: { host, port } }: Settings): Promise<Address> {
    try {
      await this.#server.fastify.listen({ port, host })
    } catch (thrown) {
      const cause = toError(thrown)
      const code = 'code' in cause ? cause.code : undefined
      throw new SluiceError('SLUICE_LISTEN', `cannot listen on ${host}:${port}: ${cause.message}`, {
        cause,
        hint: LISTEN_HINTS[String(code)] ?? 'Check APP_HOST and APP_PORT.',
      })
    }
    const bound = this.#server.server.address()
    const actual = typeof bound === 'object' && bound !== null ? bound.port : port
    const reachable =
      host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host
    return { host, port: actual, url: `http://${reachable}:${actual}` }
  }

  async #stop(): Promise<void> {
    const { httpMs, workMs, closeMs } = this.limits
    const budgetMs = this.#fatal ? Math.min(FATAL_BUDGET_MS, this.budgetMs) : this.budgetMs
    this.#watcher?.begins(budgetMs)
    const steps = new Steps({
      clock: this.#clock,
      budgetMs,
      onStep: (step) => {
        this.#watcher?.step(step)
        this.log.debug({ step }, `shutdown: ${step}`)
      },
      onFailure: ({ step, error }) => this.log.error({ step, err: error }, `shutdown: ${step} failed`),
    })
    this.#steps = steps
    if (this.#hurryMs !== undefined) steps.hurry(this.#hurryMs)
    this.log.info({ budgetMs }, `${this.name} stops`)
    this.#init?.halt()
    const intakes = this.#init?.intakes() ?? []
    const intake = Promise.all(
      intakes.map(({ name, close }) => steps.work(`stop the intake of ${name}`, closeMs, close)),
    )
    await steps.wait('drain delay', this.#drainDelayMs())
    await intake
    for (const { name, close } of this.services.stoppers()) {
      await steps.work(`stop service ${name}`, workMs, close)
    }
    await steps.work('drain http', httpMs, (signal) =>
      drainHttp(this.#server, { clock: this.#clock, signal }),
    )
    await steps.work('drain background work', workMs, () => this.background.close({ timeout: workMs }))
    await steps.work('drain the worker pool', workMs, () => this.#pool?.close({ timeout: workMs }))
    for (const { name, close } of this.#init?.closers() ?? []) {
      await steps.close(`close ${name}`, closeMs, close)
    }
    this.#stopPulse?.()
    this.#exitCode = steps.code
    const ms = Math.round(steps.elapsedMs)
    this.log.info({ code: steps.code, durationMs: ms }, `${this.name} stopped after ${ms} ms`)
    await this.flush()
  }

  #drainDelayMs(): number {
    if (this.#fatal) return 0
    const env = this.#options.env ?? process.env
    const inKubernetes = env['KUBERNETES_SERVICE_HOST'] !== undefined
    return this.#settings?.app.drainDelay ?? (inKubernetes ? KUBERNETES_DRAIN_MS : 0)
  }

  #createServer(limits: HttpLimits): AppServer {
    const overload = this.#overload
    const server = createHttpServer({
      limits,
      log: this.log,
      draining: () => this.#stopping.signal.aborted,
      shedding: () => (overload?.reason === undefined ? undefined : SHED_RETRY_SECONDS),
      hosts: limits.hosts,
      unmatched: () => this.#unmatched,
    })
    this.#unmatched = observeRoutes(server.fastify, this.metrics)
    const openapi = createOpenApi()
    if (limits.openapi !== false) openapi.collect(server.fastify)
    const info = () => ({ title: this.name, version: this.#settings?.app.version ?? '0.0.0' })
    registerHealth(server.fastify, {
      readiness: () => this.readiness,
      started: () => this.#listeningAt !== undefined,
      init: () => this.#init,
      services: () => this.services.status(),
      metrics: this.metrics,
      mayDetail: detailAccess(this.#health),
      hasToken: this.#health.token !== undefined,
      openapi: limits.openapi === false ? undefined : () => openapi.document(info()),
      openapiIsPublic: limits.openapi === 'public',
    })
    return server
  }

  #createServices(): Services {
    return new Services({
      clock: this.#clock,
      random: this.#random,
      log: this.log,
      components: () => this.init.apis,
      disabledReason: (name) => this.init.disabledReason(name),
      isReady: (name) => this.init.everConnected(name),
      isEnabled: (name) => this.#settings?.serviceEnabled(name) ?? true,
      extras: (service, http) => this.#extras(service, http),
    })
  }

  #extras(service: string, http: FastifyInstance): ServiceExtras {
    return {
      http: http as unknown as Http,
      background: this.background,
      pool: this.pool,
      log: this.log.child({ service }),
      clock: this.#clock,
      app: this.#facts,
      config: this.settings.config.user,
    }
  }

  #createPool({ app }: Settings): WorkerPool {
    const onError = (error: Error): void =>
      this.log.error({ err: error }, 'a task in the pool of the app failed')
    return new WorkerPool({
      name: 'app',
      workers: app.workers,
      maxWaiting: app.maxWaiting,
      clock: this.#clock,
      onError,
    })
  }

  #createInit({ app, config }: Settings): Init {
    const redact = redactorOf(config.secrets)
    return new Init({
      appName: this.name,
      definitions: this.#definitions,
      settings: config.components,
      checks: {
        intervalMs: app.healthInterval,
        timeoutMs: app.healthTimeout,
        downAfter: this.#health.downAfter,
        upAfter: this.#health.upAfter,
      },
      clock: this.#clock,
      random: this.#random,
      log: this.log,
      metrics: this.metrics,
      redact,
      onChange: () => this.services.advance(),
    })
  }

  #openLog({ app, config }: Settings): void {
    if (this.#options.logger !== undefined) return
    const name = app.name ?? this.name
    this.#process = createLogger({
      level: app.logLevel,
      base: { app: name, pid: process.pid, ...(app.version !== undefined && { version: app.version }) },
      redact: createRedactor(config.secrets).text,
      clock: this.#clock,
    })
    this.#deferred.attach(this.#process)
  }

  #startPulse(): () => void {
    return startPulse({
      overload: this.#overload,
      onStall: (ms) => {
        if (this.#watcher?.seesStalls() === true) return
        this.log.warn({ durationMs: Math.round(ms) }, 'the event loop was blocked')
      },
      onTurn: (reason) => {
        if (reason === undefined) this.log.info({}, 'requests are taken again')
        else this.log.warn({ reason }, `overloaded (${reason}): requests are turned away`)
      },
    })
  }

  #started<T>(value: T | undefined): T {
    if (value !== undefined) return value
    throw new SluiceError('SLUICE_NOT_READY', `app "${this.name}" has not been started`)
  }
}

const LISTEN_HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Another process has this port: stop it, or set APP_PORT.',
  EACCES: 'Ports below 1024 need a privilege: set APP_PORT to a higher one.',
  EADDRNOTAVAIL: 'No interface of this machine has that address: set APP_HOST.',
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

function checkName(name: string): string {
  if (typeof name === 'string' && /^[a-z][a-z0-9-]{0,62}$/.test(name)) return name
  throw new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `name: expected lower-case letters, digits and "-", a letter first, at most 63, got ${JSON.stringify(name)}`,
  )
}
