/** What an app has only once its configuration has been read: its worker pool and its components. */
import { Init } from './init.ts'
import type { ResolvedHealth } from './options.ts'
import { redactorOf } from './redaction.ts'
import type { Components } from './service.ts'
import type { Services } from './services.ts'
import type { Settings } from './settings.ts'
import type { Clock } from '../core/clock.ts'
import { WorkerPool } from '../pool/worker-pool.ts'
import type { Logger } from '../telemetry/log.ts'
import { failureLog } from '../telemetry/log-limit.ts'
import type { Metrics } from '../telemetry/metric.ts'
import { observePool } from '../telemetry/pool-metrics.ts'

export interface Configured {
  readonly settings: Settings
  readonly pool: WorkerPool
  readonly init: Init
  /** Takes hosts and the secrets of the configuration out of a text. */
  readonly redact: (text: string) => string
}

export interface ConfiguredOptions {
  /** Name of the app. */
  readonly name: string
  readonly definitions: Components
  readonly health: ResolvedHealth
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  /** Told after every change of a component's state. */
  readonly services: Services
  /** Told when a component will never have what it works on. */
  readonly onRefused: (error: Error) => void
}

/** Makes them; connects nothing. */
export function createConfigured(settings: Settings, options: ConfiguredOptions): Configured {
  const { name, definitions, health, clock, random, log, metrics, services } = options
  const { app, config } = settings
  const redact = redactorOf(config.secrets)
  const pool = createPool(settings, options)
  observePool(metrics, 'app', pool)
  const init = new Init({
    appName: name,
    definitions,
    settings: config.components,
    checks: {
      intervalMs: app.healthInterval,
      timeoutMs: app.healthTimeout,
      downAfter: health.downAfter,
      upAfter: health.upAfter,
    },
    clock,
    random,
    log,
    metrics,
    redact,
    onChange: () => services.advance(),
    onRefused: options.onRefused,
  })
  return { settings, pool, init, redact }
}

function createPool({ app }: Settings, { clock, log }: ConfiguredOptions): WorkerPool {
  const tellFailure = failureLog(log, clock)
  return new WorkerPool({
    name: 'app',
    workers: app.workers,
    maxWaiting: app.maxWaiting,
    clock,
    onError: (error) => tellFailure('app', { err: error }, 'a task in the pool of the app failed'),
  })
}
