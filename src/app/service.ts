/** What a service is: a function of the components that it takes, and what it may hand back. */
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { ApiOf, ComponentBase, ComponentDefinition } from './component.ts'
import type { Clock } from '../core/clock.ts'
import type { SchemaOutput, StandardSchema } from '../config/user-section.ts'
import type { Background } from '../pool/background.ts'
import type { WorkerPool } from '../pool/worker-pool.ts'
import type { Logger } from '../telemetry/log.ts'
import type { StandardTypeProvider } from './http/schema.ts'

/** The HTTP side of a service: a Fastify instance of its own, gated until what the service needs is ready. */
export type Http = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  StandardTypeProvider
>

/** Components of an app by name. */
export type Components = Readonly<Record<string, ComponentDefinition<ComponentBase>>>

/** Sections of the configuration of the user's own, by name. */
export type UserSchemas = Readonly<Record<string, StandardSchema>>

/** What the user's own sections hold. */
export type UserConfig<S extends UserSchemas> = { readonly [K in keyof S]: SchemaOutput<S[K]> }

/** What every service is handed besides its components. */
export interface ServiceExtras<S extends UserSchemas = UserSchemas> {
  /** Sections of the configuration that `settings` of createApp declares. */
  readonly config: UserConfig<S>
  /** Routes registered here answer 503 with Retry-After until the service's needs are ready. */
  readonly http: Http
  /** Work that outlives its request and is waited for at shutdown. */
  readonly background: Background
  /** The app's worker pool (`APP_WORKERS` tasks at a time). */
  readonly pool: WorkerPool
  readonly log: Logger
  readonly clock: Clock
  readonly app: AppFacts
}

/** What a service may know of its app. */
export interface AppFacts {
  readonly name: string
  /** True from the first signal or `stop()` on. */
  readonly draining: boolean
  /** Aborts when the app begins to stop. */
  readonly signal: AbortSignal
}

/** The argument of a service of an app with these components. */
export type ServiceArgument<C extends Components, S extends UserSchemas = UserSchemas> = {
  readonly [K in keyof C]: ApiOf<C[K]>
} & ServiceExtras<S>

/** What a service may return. */
export interface ServiceHandle {
  /** Called once all needs are ready; routes open when it resolves. Called again, with back-off, when it rejects. */
  start?(signal: AbortSignal): Promise<void> | void
  /** Called at shutdown before HTTP drains, in reverse order of registration, with a deadline in the signal. */
  stop?(signal: AbortSignal): Promise<void> | void
}

/** Runs once, before the port opens. It must not be async: what waits belongs into `start`. */
export type ServiceFunction<Argument> = (argument: Argument) => ServiceHandle | void

/** A service in a file of its own; given to any app that satisfies it with `app.use`. */
export interface Service<Argument> {
  readonly name: string
  readonly run: ServiceFunction<Argument>
}

/**
 * A service that names what it takes, apart from any app:
 * `service('todos', ({ db, http }: { db: Postgres; http: Http }) => …)`.
 */
export function service<Argument>(name: string, run: ServiceFunction<Argument>): Service<Argument> {
  return Object.freeze({ name, run })
}

export type ServiceState = 'skipped' | 'waiting' | 'starting' | 'running' | 'failed' | 'stopped'

/** A service as `/health` shows it. */
export interface ServiceStatus {
  readonly name: string
  readonly state: ServiceState
  /** Components that it took. */
  readonly needs: readonly string[]
  /** Needs that are not ready yet. */
  readonly waiting_for: readonly string[]
  /** Why it is skipped or failed. */
  readonly reason: string | null
}
