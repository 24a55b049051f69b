/**
 * The contract between the app and a component. The app knows components only by it.
 *
 * A *definition* is what `postgres()` returns: inert, does no I/O, may be shared. The app resolves its configuration
 * and calls `create` once, which returns the *component*; that does no I/O either.
 *
 * The app promises: `connect` is never called twice at once, nor after `close`; it is called again, with back-off, for
 * as long as it rejects, and again after `context.lost(error)`. `check` is called only while connected, one at a
 * time, with a deadline in the signal. `close` is called once, also when `connect` never succeeded or is still under
 * way (its signal is aborted first and it is awaited), with a deadline in the signal.
 *
 * The component promises: `connect` resolves only when operations work; it leaves nothing open when it rejects;
 * before `connect`, and from `context.lost` until it is connected again, operations reject at once with
 * SLUICE_NOT_READY (the `operations` of the context do that; failing checks alone do not, since the deadline and
 * breaker of the operations meet those, and a server that is back is used at once); `check` exercises the real path;
 * `close` settles everything that waits; `inspect` is synchronous, cheap, JSON, and holds no secret.
 */
import type { FastifyInstance } from 'fastify'
import type { AsyncResult } from '../core/async-result.ts'
import type { Clock } from '../core/clock.ts'
import type { Duration } from '../core/duration.ts'
import type { Fields, Section, SectionValues } from '../config/section.ts'
import type { BreakerState } from '../policy/breaker-state.ts'
import type { TaskFunction } from '../pool/task.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metric.ts'
import type { OperationLimits, Operations } from '../telemetry/operate.ts'

export type { OperationLimits } from '../telemetry/operate.ts'

export type ComponentState =
  'disabled' | 'waiting' | 'connecting' | 'ready' | 'degraded' | 'failed' | 'closing' | 'closed'

/** JSON facts about a component for the dashboard and `status()`. */
export type Inspection = Readonly<Record<string, unknown>>

export interface PoolStatus {
  readonly workers: number
  readonly running: number
  readonly waiting: number
}

export interface ComponentStatus {
  readonly name: string
  readonly kind: string
  readonly connected: boolean
  readonly state: ComponentState
  readonly pool: PoolStatus
  /** What its circuit breaker does; of several, the one that lets least through. Null where it has none. */
  readonly breaker: BreakerState['kind'] | null
  /** What `inspect()` of the component says. */
  readonly [fact: string]: unknown
}

/** What every component's API has besides its own operations. Spread `context.base` into the API. */
export interface ComponentBase {
  readonly name: string
  readonly kind: string
  status(): ComponentStatus
  /** Runs work of yours in the component's own worker pool (`infrastructure.<name>.workers` at a time). */
  submit<T>(fn: TaskFunction<T>, options?: SubmitOptions): AsyncResult<T>
}

export interface SubmitOptions {
  readonly signal?: AbortSignal
  readonly timeout?: Duration
  readonly priority?: number
}

export interface Component<Api extends ComponentBase> {
  /** What services are handed. Exists before `connect`. */
  readonly api: Api
  connect(signal: AbortSignal, progress: (fraction: number, note?: string) => void): Promise<void>
  /** Rejects when unhealthy. */
  check(signal: AbortSignal): Promise<void>
  /** Adds routes of its own to the app's HTTP server; called once, before the port opens. They answer 503 while it is away. */
  routes?(http: FastifyInstance): void
  /** Takes no new work of its own accord (schedules, subscriptions, jobs); called first at shutdown, with a deadline. */
  stopIntake?(signal: AbortSignal): Promise<void>
  /** What it runs of its own accord comes to its end, beside requests that still run; called after `stopIntake`. */
  drain?(signal: AbortSignal): Promise<void>
  /** Limit of `drain`, in milliseconds. @default the app's `shutdown.workTimeout` */
  readonly drainMs?: number
  close(signal: AbortSignal): Promise<void>
  inspect(): Inspection
}

export interface ComponentContext<Config> {
  readonly name: string
  readonly kind: string
  readonly config: Config
  /** Name of the app: a prefix for keys, directories and application names. */
  readonly appName: string
  readonly clock: Clock
  /** Uniform in [0, 1); seeded in tests. */
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  readonly base: ComponentBase
  /** The one way in for this component. `limits` are the component's; the app adds clock, metrics, log, readiness. */
  operations(limits: OperationLimits): Operations
  /** The connection is gone for good: the state becomes degraded and the app calls `connect` again. */
  lost(error: Error): void
  /** The API of the component that `requires` found for this kind; undefined for an optional one that is not there. */
  required(kind: string): ComponentBase | undefined
}

/** Another component that this one works on. */
export interface Requirement {
  readonly kind: string
  /** @default the only one of that kind; several without a name are refused with SLUICE_CONFIG */
  readonly name?: string | undefined
  /** Work without it where it is not there or disabled. @default false */
  readonly optional?: boolean
  /** Do not wait for it to be ready: it is made before and closed after, and may come and go. @default false */
  readonly beside?: boolean
}

export interface ComponentDefinition<Api extends ComponentBase, F extends Fields = Fields> {
  /** 'postgres', 'redis', … */
  readonly kind: string
  /** Where its configuration lives. */
  readonly section: Section<F>
  /** Values given in code; they win over every other source. Raw, parsed by the section's fields. */
  readonly overrides: Readonly<Partial<Record<keyof F, unknown>>>
  /** Names of components that must be ready before this one connects. */
  readonly dependsOn: readonly string[]
  /** Components that this one works on, by kind; each found becomes one of `dependsOn`. @default none */
  readonly requires?: readonly Requirement[]
  /** True where there is no default to run on: the component is disabled unless some source sets one of its fields. */
  readonly needsConfiguration?: boolean
  /** Default of `infrastructure.<name>.workers`. */
  readonly workers: number
  /** Default of `infrastructure.timeouts.<name>`, the limit of one connect, in milliseconds. */
  readonly connectTimeoutMs: number
  create(context: ComponentContext<SectionValues<F>>): Component<Api>
}

/** The API type of a definition: what a service is handed for it. */
export type ApiOf<D> = D extends ComponentDefinition<infer Api, infer _F> ? Api : never
