/**
 * Metrics of the process, read when scraped. Names are those that Prometheus' clients use, so that dashboards made for
 * any Node.js process fit.
 */
import { performance } from 'node:perf_hooks'
import type { Metrics } from './metric.ts'

/** Returns what takes the metrics off again. */
export function observeProcess(metrics: Metrics): () => void {
  const observe = (name: string, help: string, read: () => number): (() => void) =>
    metrics.observe(name, help, {}, read)
  const startedAt = Math.round(Date.now() / 1_000 - process.uptime())
  let before = performance.eventLoopUtilization()
  const utilization = (): number => {
    const now = performance.eventLoopUtilization()
    const between = performance.eventLoopUtilization(now, before)
    before = now
    return between.utilization
  }
  const offs = [
    observe(
      'process_start_time_seconds',
      'When the process started, in seconds since 1970.',
      () => startedAt,
    ),
    observe('process_cpu_seconds_total', 'Processor time used.', () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    }),
    observe('process_resident_memory_bytes', 'Memory that the process holds.', () =>
      process.memoryUsage.rss(),
    ),
    observe(
      'nodejs_heap_size_used_bytes',
      'Memory in use by JavaScript objects.',
      () => process.memoryUsage().heapUsed,
    ),
    observe(
      'nodejs_eventloop_utilization_ratio',
      'Share of the time since the last scrape that the event loop was busy.',
      utilization,
    ),
  ]
  return () => offs.forEach((off) => off())
}
