/** What is counted of the jobs of one name. */
import type { CounterCell, HistogramCell, Metrics } from '../../telemetry/metric.ts'

const SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600, 3_600]

export interface JobMetrics {
  readonly done: CounterCell
  readonly failed: CounterCell
  readonly dead: CounterCell
  readonly unknown: CounterCell
  readonly runSeconds: HistogramCell
  readonly waitSeconds: HistogramCell
}

export function jobMetrics(metrics: Metrics, component: string, job: string): JobMetrics {
  const labels = { component, job }
  const counter = (name: string, help: string): CounterCell => metrics.counter(name, help).with(labels)
  const seconds = (name: string, help: string): HistogramCell =>
    metrics.histogram(name, help, SECONDS).with(labels)
  return {
    done: counter('sluice_jobs_done_total', 'Jobs that were done.'),
    failed: counter('sluice_jobs_failed_total', 'Attempts of jobs that failed.'),
    dead: counter('sluice_jobs_dead_total', 'Jobs that became dead letters.'),
    unknown: counter('sluice_jobs_unknown_total', 'Jobs that were left to others, having no handler here.'),
    runSeconds: seconds('sluice_job_run_seconds', 'From the start of a handler to its end.'),
    waitSeconds: seconds('sluice_job_wait_seconds', 'From when a job was due to its start, by this clock.'),
  }
}
