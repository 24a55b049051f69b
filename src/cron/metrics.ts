/** What is counted of schedules. */
import type { CounterCell, GaugeCell, Metrics } from '../telemetry/metric.ts'

/** `failed`: an attempt. `lost`: its process died, which this one found out. */
export type RunOutcome = 'done' | 'failed' | 'skipped' | 'lost'

export interface CronMetrics {
  ran(schedule: string, outcome: RunOutcome, times?: number): void
  late(schedule: string, ms: number): void
  readonly turnsFailed: CounterCell
  readonly unreadable: GaugeCell
}

/** Seconds: from a timer that is a little late to slots that were caught up with. */
const LATENESS = [0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 3_600]

export function cronMetrics(metrics: Metrics, component: string): CronMetrics {
  const runs = metrics.counter('sluice_cron_runs_total', 'Runs of schedules by how they ended.')
  const lateness = metrics.histogram(
    'sluice_cron_lateness_seconds',
    'From a slot to the start of its first run.',
    LATENESS,
  )
  return {
    ran: (schedule, outcome, times = 1) => runs.with({ component, schedule, outcome }).add(times),
    late: (schedule, ms) => lateness.with({ component, schedule }).observe(Math.max(0, ms) / 1_000),
    turnsFailed: metrics
      .counter('sluice_cron_turns_failed_total', 'Looks at the schedules that failed.')
      .with({ component }),
    unreadable: metrics
      .gauge('sluice_cron_unreadable', 'Schedules in the database that this process cannot read.')
      .with({ component }),
  }
}
