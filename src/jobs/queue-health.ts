/** Whether the work on a queue gets on in this process: a failure that passes is none, one that lasts is told. */
import { SluiceError } from '../core/errors.ts'
import type { RunnerFacts } from './run/runner-options.ts'

/** A queue whose claims, or ends, fail for so long makes the component unhealthy. */
const STALE_MS = 30_000

/** Throws SLUICE_UNAVAILABLE. */
export function checkQueue(
  queue: string,
  { failures, claimedMsAgo = STALE_MS, unstoredMs = 0 }: RunnerFacts,
): void {
  if (unstoredMs >= STALE_MS) throw stuck(queue, 'ends of jobs', 'stored', { queue, forMs: unstoredMs })
  if (failures > 0 && claimedMsAgo >= STALE_MS) throw stuck(queue, 'jobs', 'claimed', { queue, failures })
}

function stuck(queue: string, what: string, done: string, details: Record<string, unknown>): SluiceError {
  const text = `${what} of the queue "${queue}" cannot be ${done}`
  return new SluiceError('SLUICE_UNAVAILABLE', text, { retryable: true, details })
}
