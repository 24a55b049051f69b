/** The scheduler for what there is: of the cluster with a database, of this process without. */
import type { ComponentContext } from '../app/component.ts'
import type { Postgres } from '../components/postgres/api.ts'
import { ClusterScheduler } from './cluster.ts'
import { LocalScheduler } from './local.ts'
import { cronMetrics } from './metrics.ts'
import { Runner } from './runner.ts'
import type { Scheduler } from './scheduler.ts'
import type { CronConfig } from './section.ts'

export function openScheduler(context: ComponentContext<CronConfig>, db: Postgres | undefined): Scheduler {
  const { clock, log, base, config } = context
  const metrics = cronMetrics(context.metrics, context.name)
  const options = {
    clock,
    log,
    metrics,
    runner: new Runner(base, clock, log, metrics),
    historySize: config.historySize,
    shutdownMs: config.shutdownTimeout,
  }
  if (db === undefined) return new LocalScheduler(options)
  return new ClusterScheduler({ ...options, context, db, pollMs: config.pollInterval })
}
