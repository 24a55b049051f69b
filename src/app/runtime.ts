/**
 * What is behind an app: its parts, put together, started and stopped. The public face is app.ts.
 *
 *     new Runtime     server, services, background: no I/O, no timer
 *     start           configuration ──▶ pool and components (configured.ts) ──▶ port (listen.ts) ──▶ components connect
 *     stop            draining at once, then stop-sequence.ts
 */
import type { FastifyInstance } from 'fastify'
import { AppLog } from './app-log.ts'
import { configureServer, createAppServer } from './app-server.ts'
import { createConfigured, type Configured } from './configured.ts'
import { readiness, type Readiness } from './health.ts'
import { detailAccess } from './http/access.ts'
import { httpLimits, type HttpLimits } from './http/options.ts'
import type { AppServer } from './http/server.ts'
import { checkGraph, type Init } from './init.ts'
import { currentInspector, type InspectedApp } from './inspection-hook.ts'
import { listen, type Address } from './listen.ts'
import { checkName, resolveHealth, resolveShutdown, type AppOptions, type ResolvedHealth } from './options.ts'
import { Overload } from './overload.ts'
import { startPulse } from './pulse.ts'
import type { AppFacts, Components, Http, ServiceExtras, UserSchemas } from './service.ts'
import { Services } from './services.ts'
import { loadOptions, loadSettings, type Settings } from './settings.ts'
import { StopSequence } from './stop-sequence.ts'
import { resolveRequirements } from './requirements.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { Lifecycle } from '../core/lifecycle.ts'
import { createBackground, type Background } from '../pool/background.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metric.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { observePool } from '../telemetry/pool-metrics.ts'
import { observeProcess } from '../telemetry/process-metrics.ts'
import { traceDetached } from '../telemetry/trace.ts'

interface Listening {
  readonly address: Address
  /** Monotonic time since which it has been open. */
  readonly since: number
  readonly stopPulse: () => void
  readonly connectTimer: NodeJS.Timeout
}

/** Drivers are imported in pieces of up to 20 ms each; the port has been open for this long by then. */
const CONNECT_AFTER_MS = 25

export class Runtime {
  readonly name: string
  readonly log: Logger
  readonly metrics: Metrics = createMetrics()
  readonly services: Services
  readonly background: Background
  readonly stopping: StopSequence
  readonly #options: AppOptions<Components, UserSchemas>
  readonly #definitions: Components
  readonly #appLog: AppLog
  readonly #clock: Clock
  readonly #random: () => number
  readonly #health: ResolvedHealth
  readonly #overload: Overload | undefined
  readonly #server: AppServer
  readonly #lifecycle: Lifecycle
  #configured: Configured | undefined
  #listening: Listening | undefined
  #inspected: InspectedApp | undefined
  #failure: Error | undefined

  constructor(options: AppOptions<Components, UserSchemas>) {
    this.#options = options
    this.name = checkName(options.name)
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? Math.random
    this.#appLog = new AppLog({ name: this.name, clock: this.#clock, own: options.logger })
    this.log = this.#appLog.log
    this.#definitions = options.components ?? {}
    checkGraph(this.#definitions)
    this.#health = resolveHealth(options.health ?? {}, Object.keys(this.#definitions))
    this.stopping = new StopSequence({
      name: this.name,
      clock: this.#clock,
      log: this.log,
      limits: resolveShutdown(options.shutdown ?? {}),
      env: options.env ?? process.env,
      settings: () => this.#configured?.settings.app,
    })
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
  get configured(): Configured {
    return this.#started(this.#configured)
  }
  get init(): Init {
    return this.configured.init
  }
  get settings(): Settings {
    return this.configured.settings
  }
  get address(): Address {
    return this.#started(this.#listening).address
  }
  get readiness(): Readiness {
    const init = this.#configured?.init
    return readiness({
      started: this.#listening !== undefined,
      draining: this.stopping.draining,
      sinceStartMs: this.#clock.monotonic() - (this.#listening?.since ?? Infinity),
      maxStartupMs: this.#configured?.settings.app.startupGate ?? 0,
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

  /** Draining begins before this returns. Resolves with the exit code. */
  async stop(): Promise<number> {
    this.drain()
    await this.#lifecycle.stop()
    return this.stopping.exitCode
  }

  /** From now on /readyz says 503 and responses end their connections. Synchronous. */
  drain(): void {
    if (this.stopping.draining) return
    clearTimeout(this.#listening?.connectTimer)
    this.stopping.begin()
    // From here on responses end their connections, and clients come back at once: with no delay to serve them in, new
    // connections must be refused before the first of them comes back, or it is reset while it waits to be accepted.
    if (this.stopping.drainDelayMs === 0) this.#server.stopAccepting()
  }

  /** Stops within seconds, without serving on, because something broke. */
  async fail(): Promise<number> {
    this.stopping.fail()
    return this.stop()
  }

  /** Hands the last lines of the log to the system. */
  async flush(): Promise<void> {
    await this.#appLog.flush()
  }

  async #start(signal: AbortSignal): Promise<void> {
    try {
      await this.#bringUp(signal)
    } catch (error) {
      this.#appLog.open()
      this.drain()
      this.#configured?.init.halt()
      this.#failure = toError(error)
      // It repeats the error that brought it down.
      await this.#server.fastify.close().catch(() => {})
      throw error
    }
  }

  async #bringUp(signal: AbortSignal): Promise<void> {
    const settings = await loadSettings(loadOptions(this.#options, this.services.names))
    signal.throwIfAborted()
    this.#appLog.open(settings)
    for (const warning of settings.config.warnings) this.log.warn({}, warning)
    this.#configured = this.#configure(settings)
    configureServer(this.#server, settings.app)
    this.services.registerOn(this.#server.fastify)
    await this.#server.fastify.ready()
    signal.throwIfAborted()
    this.services.advance()
    const address = await listen(this.#server, settings.app)
    signal.throwIfAborted()
    this.#listening = this.#opened(address, this.#configured.init)
    this.log.info({ url: address.url }, `${this.name} listens on ${address.url}`)
  }

  #configure(settings: Settings): Configured {
    observePool(this.metrics, 'background', this.background)
    observeProcess(this.metrics)
    return createConfigured(settings, {
      appName: this.name,
      definitions: this.#definitions,
      health: this.#health,
      clock: this.#clock,
      random: this.#random,
      log: this.log,
      metrics: this.metrics,
      onChange: () => this.services.advance(),
    })
  }

  /** From here on it is sampled, and components connect. */
  #opened(address: Address, init: Init): Listening {
    const stopPulse = startPulse({
      overload: this.#overload,
      log: this.log,
      othersSeeStalls: () => this.stopping.watcher?.seesStalls() ?? false,
    })
    // The first requests do not wait for drivers to be imported. Real time: it is the real loop that is kept free.
    const connectTimer = setTimeout(() => init.start(), CONNECT_AFTER_MS)
    return { address, since: this.#clock.monotonic(), stopPulse, connectTimer }
  }

  async #stop(): Promise<void> {
    const { server, services, background } = { ...this, server: this.#server }
    await this.stopping.run({ server, services, background, ...this.configured })
    this.#listening?.stopPulse()
    await this.flush()
  }
