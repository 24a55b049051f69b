/** What a component is made with where there is no app: it is silent, and nobody scrapes its metrics. */
import type { ComponentBase, ComponentContext, ComponentDefinition } from '../app/component.ts'
import type { ComponentConfig } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { WorkerPool } from '../pool/worker-pool.ts'
import { silentLogger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createOperations } from '../telemetry/operations.ts'

export function createContext(
  name: string,
  definition: ComponentDefinition<ComponentBase>,
  config: ComponentConfig,
  appName: string,
  pool: WorkerPool,
  connected: () => boolean,
): ComponentContext<unknown> {
  const { kind } = definition
  const metrics = createMetrics()
  const base: ComponentBase = {
    name,
    kind,
    status: () => ({
      name,
      kind,
      connected: connected(),
      state: connected() ? 'ready' : 'connecting',
      pool: { workers: config.workers, running: pool.running, waiting: pool.waiting },
      breaker: null,
    }),
    submit: (fn, options) => pool.submit(fn, options ?? {}),
  }
  const notReady = (): SluiceError | undefined =>
    connected()
      ? undefined
      : new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, { component: name })
  const shared = { clock: systemClock, random: Math.random, log: silentLogger, metrics }
  return {
    ...shared,
    name,
    kind,
    config: config.values,
    appName,
    base,
    operations: (limits) => createOperations({ ...shared, component: name, kind, limits, notReady }),
    lost: () => {},
    required: () => undefined,
  }
}
