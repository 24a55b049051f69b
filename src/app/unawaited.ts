/**
 * Failures of operations that nobody awaited. They end nothing: each is counted, and an operation that goes on failing is
 * told once a minute.
 */
import type { AppParts } from './parts.ts'
import { failureLog } from '../telemetry/log-limit.ts'

export function unawaitedFailures({
  log,
  clock,
  metrics,
}: Pick<AppParts, 'log' | 'clock' | 'metrics'>): (operation: string, error: Error) => void {
  const tellFailure = failureLog(log, clock)
  return (operation, error) => {
    tellFailure(operation, { err: error, operation }, `nobody awaited "${operation}", and it failed`)
    metrics
      .counter('sluice_unawaited_failures_total', 'Operations that failed and that nobody awaited.')
      .with({ operation })
      .add()
  }
}
