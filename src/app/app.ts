/**
 * createApp: the HTTP server, the components, the services and their life cycle.
 *
 *     created ──start──▶ port open, components connect behind it ──stop──▶ draining ──▶ stopped
 *
 * `start` opens the port and returns; it never waits for a component. A start that failed has cleaned up after itself,
 * and the app is of no further use.
 */
import type { ApiOf } from './component.ts'
import type { Readiness } from './health.ts'
import type { Init } from './init.ts'
import type { Address } from './listen.ts'
import type { AppOptions } from './options.ts'
import { runApp } from './run.ts'
import { Runtime } from './runtime.ts'
import type {
  Components,
  Http,
  Service,
  ServiceArgument,
  ServiceFunction,
  UserConfig,
  UserSchemas,
} from './service.ts'
import type { Background } from '../pool/background.ts'
import type { WorkerPool } from '../pool/worker-pool.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metric.ts'

export type { Address }

/** How far the components are. */
export type AppInit = Pick<Init, 'status' | 'statusOf' | 'progress' | 'ready' | 'timeline'>

export interface App<
  C extends Components = Components,
  S extends UserSchemas = UserSchemas,
> extends AsyncDisposable {
  readonly name: string
  /** Fastify itself, ungated: plugins, hooks and routes of your own, before `start`. */
  readonly http: Http
  readonly log: Logger
  readonly metrics: Metrics
  /** From `start` on. */
  readonly init: AppInit
  /** APIs of the enabled components, from `start` on. */
  readonly components: { readonly [K in keyof C]: ApiOf<C[K]> }
  /** Sections of your own (`settings`), from `start` on. */
  readonly config: UserConfig<S>
  /** The app's worker pool (`APP_WORKERS` tasks at a time), from `start` on. */
  readonly pool: WorkerPool
  readonly background: Background
  /** Where it listens, from `start` on. */
  readonly address: Address
  /** What /readyz says. */
  readonly readiness: Readiness
  /** Adds a service; what it takes out of its argument is what it needs. Before `start`. */
  service(name: string, run: ServiceFunction<ServiceArgument<C, S>>): this
  /** Adds a service of a file of its own. It does not compile when this app lacks what the service takes. */
  use<Argument>(service: Service<Argument> & Satisfied<ServiceArgument<C, S>, Argument>): this
  /**
   * Opens the port and returns; components connect behind it. Rejects with SLUICE_CONFIG, SLUICE_LISTEN, or what a
   * service threw.
   */
  start(): Promise<void>
  /** Drains and closes everything; resolves with the exit code: 0, 1 (something threw) or 70 (something hung). */
  stop(): Promise<number>
  /**
   * The main program: starts, serves until a signal or a fatal error, stops, and ends the process with its exit code.
   * Resolves with the code; a later call gives the promise of the first.
   */
  run(options?: RunOptions): Promise<number>
}

export interface RunOptions {
  /** End the process. @default true */
  readonly exit?: boolean
}

/** `unknown` where an app gives what a service takes; otherwise a type that says what it lacks. */
type Satisfied<Given, Taken> = Given extends Taken
  ? unknown
  : { readonly 'this app has no component of that name and type': Exclude<keyof Taken, keyof Given> }

/**
 * Makes an app; does no I/O. Throws SLUICE_INVALID_ARGUMENT for wrong options and SLUICE_CONFIG for components that
 * depend on unknown ones or on each other.
 */
export function createApp<
  const C extends Components = Record<never, never>,
  const S extends UserSchemas = Record<never, never>,
>(options: AppOptions<C, S>): App<C, S> {
  const runtime = new Runtime(options)
  const { name, log, metrics, background, server, services, state, stopping } = runtime.parts
  let running: Promise<number> | undefined
  const app: App<C, S> = {
    name,
    log,
    metrics,
    background,
    http: server.fastify as unknown as Http,
    get init() {
      return state.init
    },
    get components() {
      return state.init.enabledApis as { readonly [K in keyof C]: ApiOf<C[K]> }
    },
    get config() {
      return state.settings.config.user as UserConfig<S>
    },
    get pool() {
      return state.configured.pool
    },
    get address() {
      return state.address
    },
    get readiness() {
      return state.readiness
    },
    service(serviceName, run) {
      services.add(serviceName, run)
      return app
    },
    use(service) {
      services.add(service.name, service.run)
      return app
    },
    start: () => runtime.start(),
    stop: () => runtime.stop(),
    // The program and the command line may both run it: it is run once, as the first asked.
    run: (runOptions) => (running ??= runApp(runtime, runOptions?.exit ?? true)),
    [Symbol.asyncDispose]: async () => {
      await runtime.stop()
    },
  }
  // A program that has stopped its app is done with it.
  runtime.announce(() => (stopping.draining ? (running ?? runtime.stop()) : app.run()))
  return app
}
