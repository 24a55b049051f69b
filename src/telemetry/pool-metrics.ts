/** Metrics of a worker pool or of background work, read when scraped, so that they cost a task nothing. */
import type { PoolStats } from '../pool/worker-pool.ts'
import type { Metrics } from './metric.ts'

export interface ObservedPool {
  readonly running: number
  readonly waiting: number
  stats(): PoolStats
}

/** How tasks end, and what is counted for it. */
const OUTCOMES = {
  ok: 'completed',
  error: 'failed',
  timeout: 'timedOut',
  cancelled: 'cancelled',
  refused: 'rejected',
  dropped: 'dropped',
  closed: 'closed',
} as const satisfies Record<string, keyof PoolStats>

/** Returns what takes the metrics off again. */
export function observePool(metrics: Metrics, name: string, pool: ObservedPool): () => void {
  const labels = { pool: name }
  const offs = [
    metrics.observe('sluice_pool_running', 'Tasks that run.', labels, () => pool.running),
    metrics.observe('sluice_pool_waiting', 'Tasks that wait for a worker.', labels, () => pool.waiting),
  ]
  const help = 'Tasks that are over, by how they ended.'
  for (const [outcome, field] of Object.entries(OUTCOMES)) {
    offs.push(
      metrics.observe('sluice_pool_tasks_total', help, { pool: name, outcome }, () => pool.stats()[field]),
    )
  }
  return () => offs.forEach((off) => off())
}
