/** The life of an app: its parts (parts.ts) brought up in order, and taken down by its stop sequence. The public face is app.ts. */
import { configureServer } from './app-server.ts'
import { createConfigured } from './configured.ts'
import { refuseContradictions } from './contradictions.ts'
import { closeDoor } from './http/drain.ts'
import { currentInspector, type InspectedApp } from './inspection-hook.ts'
import { listen } from './listen.ts'
import type { AppOptions } from './options.ts'
import { createParts, type AppParts } from './parts.ts'
import { startPulse } from './pulse.ts'
import type { Components, UserSchemas } from './service.ts'
import { loadOptions, loadSettings } from './settings.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { Lifecycle } from '../core/lifecycle.ts'
import { observePool } from '../telemetry/pool-metrics.ts'
import { observeProcess } from '../telemetry/process-metrics.ts'

/** Drivers are imported in pieces of up to 20 ms each; the port has been open for this long by then. */
const CONNECT_AFTER_MS = 25

export class Runtime {
  readonly parts: AppParts
  readonly #options: AppOptions<Components, UserSchemas>
  readonly #lifecycle: Lifecycle
  #stopPulse: (() => void) | undefined
  #connectTimer: NodeJS.Timeout | undefined
  #inspected: InspectedApp | undefined
  #failure: Error | undefined
  #door: Promise<void> | undefined
  #onRefused: (error: Error) => void = () => {}

  constructor(options: AppOptions<Components, UserSchemas>) {
    this.#options = options
    this.parts = createParts(options)
    const { name, log } = this.parts
    this.#lifecycle = new Lifecycle({
      name: `app "${name}"`,
      start: (signal) => this.#start(signal),
      stop: () => this.#stop(),
      onError: (error, what) => log.error({ err: error }, what),
    })
  }

  /** Lets the command line see the app. */
  announce(run: () => Promise<unknown>): void {
    const { name, definitions, services } = this.parts
    this.#inspected = {
      name,
      components: definitions,
      load: () => loadOptions(this.#options, services.names),
      run,
    }
    currentInspector()?.created(this.#inspected)
  }

  /** `heard` is told when a component cannot have what it works on, because it is another's. */
  onRefused(heard: (error: Error) => void): void {
    this.#onRefused = heard
  }

  async start(): Promise<void> {
    const inspected = this.#inspected
    if (inspected !== undefined && currentInspector()?.starting(inspected) === 'hold') {
      return new Promise<void>(() => {})
    }
    if (this.#failure !== undefined) {
      const text = `app "${this.parts.name}" could not start and cannot be started again`
      throw new SluiceError('SLUICE_CLOSED', text, { cause: this.#failure })
    }
    await this.#lifecycle.start()
  }

  /** Draining begins before this returns. Resolves with the exit code. */
  async stop(): Promise<number> {
    this.drain()
    await this.#lifecycle.stop()
    return this.parts.stopping.exitCode
  }

  /** From now on /readyz says 503, and a few turns of the loop later responses end their connections. Synchronous. */
  drain(): void {
    const { stopping, server } = this.parts
    if (stopping.draining) return
    clearTimeout(this.#connectTimer)
    stopping.begin()
    if (stopping.drainDelayMs === 0) this.#door = closeDoor(server)
  }

  /** Stops within seconds, without serving on, because something broke. */
  async fail(): Promise<number> {
    this.parts.stopping.fail()
    return this.stop()
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { appLog, state, server } = this.parts
    try {
      await this.#bringUp(signal)
    } catch (error) {
      appLog.open()
      this.drain()
      state.ifConfigured?.init.halt()
      this.#failure = toError(error)
      // It repeats the error that brought it down.
      await server.fastify.close().catch(() => {})
      throw error
    }
  }

  /** The port opens before anything connects. */
  async #bringUp(signal: AbortSignal): Promise<void> {
    const { name, log, appLog, metrics, state, background, overload, stopping, server, services } = this.parts
    const settings = await loadSettings(loadOptions(this.#options, services.names))
    refuseContradictions(this.#options, settings)
    signal.throwIfAborted()
    appLog.open(settings)
    for (const warning of settings.config.warnings) log.warn({}, warning)
    observePool(metrics, 'background', background)
    observeProcess(metrics)
    const configured = createConfigured(settings, {
      ...this.parts,
      onRefused: (error) => this.#onRefused(error),
    })
    state.isConfigured(configured)
    configureServer(server, settings.app)
    configured.init.addRoutes(server.fastify)
    services.registerOn(server.fastify)
    await server.fastify.ready()
    signal.throwIfAborted()
    services.advance()
    const address = await listen(server, settings.app)
    signal.throwIfAborted()
    state.listensAt(address)
    this.#stopPulse = startPulse({ overload, log, othersSeeStalls: () => stopping.stallsAreSeen })
    log.info({ url: address.url }, `${name} listens on ${address.url}`)
    // The first requests do not wait for drivers to be imported. Real time: it is the real loop that is kept free.
    this.#connectTimer = setTimeout(() => configured.init.start(), CONNECT_AFTER_MS)
  }

  async #stop(): Promise<void> {
    const { stopping, server, services, background, state, appLog } = this.parts
    await this.#door
    await stopping.run({ server, services, background, ...state.configured })
    this.#stopPulse?.()
    await appLog.flush()
  }
}
