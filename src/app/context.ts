/** What a component is handed: its name, clock, log, metrics, pool, and the one way in for its operations. */
import type {
  ComponentBase,
  ComponentContext,
  ComponentDefinition,
  ComponentStatus,
  Inspection,
} from './component.ts'
import type { ComponentRunner } from './runner.ts'
import type { ComponentConfig } from '../config/load.ts'
import type { Fields, SectionValues } from '../config/section.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Breaker } from '../policy/breaker.ts'
import { strictest } from '../policy/breaker-state.ts'
import { WorkerPool } from '../pool/worker-pool.ts'
import type { Logger } from '../telemetry/log.ts'
import { failureLog } from '../telemetry/log-limit.ts'
import type { Metrics } from '../telemetry/metric.ts'
import { OperationLogLimits } from '../telemetry/operation-observer.ts'
import { createOperations } from '../telemetry/operations.ts'
import { observePool } from '../telemetry/pool-metrics.ts'

export interface ContextOptions {
  readonly name: string
  readonly appName: string
  readonly definition: ComponentDefinition<ComponentBase>
  readonly settings: Pick<ComponentConfig, 'values' | 'workers'>
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  /** Known only once the component is made, so asked for later. */
  readonly runner: () => Pick<ComponentRunner, 'connected' | 'phase' | 'lost'>
  readonly inspect: () => Inspection
  readonly required: (kind: string) => ComponentBase | undefined
}

export interface BuiltContext {
  readonly context: ComponentContext<SectionValues<Fields>>
  /** Closes the component's own pool; what runs in it has until the signal aborts. */
  readonly release: (signal?: AbortSignal) => Promise<void>
}

/** Tasks that may wait in a component's own pool. */
const MAX_WAITING = 10_000

export function createContext(options: ContextOptions): BuiltContext {
  const { name, appName, definition, settings, clock, random, metrics, runner } = options
  const log = options.log.child({ component: name })
  const tellFailure = failureLog(log, clock)
  const pool = new WorkerPool({
    name,
    workers: settings.workers,
    maxWaiting: MAX_WAITING,
    clock,
    onError: (error) => tellFailure(name, { err: error }, `a task in the pool of ${name} failed`),
  })
  observePool(metrics, name, pool)
  const help = 'Components that are connected.'
  metrics.observe('sluice_component_connected', help, { component: name }, () => (runner().connected ? 1 : 0))
  // Made once: a component that is away refuses every call, and a stack trace a call would cost more than the call.
  const notReady = new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, {
    component: name,
    retryable: true,
  })
  const breakers: Breaker[] = []
  const base: ComponentBase = {
    name,
    kind: definition.kind,
    status: (): ComponentStatus => ({
      ...options.inspect(),
      name,
      kind: definition.kind,
      connected: runner().connected,
      state: runner().phase.state,
      pool: { workers: pool.capacity, running: pool.running, waiting: pool.waiting },
      breaker: strictest(breakers.map((breaker) => breaker.state)),
    }),
    submit: (fn, submitOptions) => pool.submit(fn, submitOptions),
  }
  // One line a minute for the whole component, however many sets of operations it makes.
  const logLimits = new OperationLogLimits(clock)
  return {
    context: {
      name,
      kind: definition.kind,
      config: settings.values,
      appName,
      clock,
      random,
      log,
      metrics,
      base,
      operations: (limits) => {
        const operations = createOperations({
          component: name,
          kind: definition.kind,
          limits,
          clock,
          random,
          log,
          metrics,
          notReady: () => (runner().connected ? undefined : notReady),
          logLimits,
        })
        if (operations.breaker !== undefined) breakers.push(operations.breaker)
        return operations
      },
      lost: (error) => runner().lost(error),
      required: options.required,
    },
    release: () => pool.close({ timeout: POOL_CLOSE_MS }),
  }
}

/** Half of what a component has to close, so that a task that hangs leaves time for the connection. */
const POOL_CLOSE_MS = 1_000
