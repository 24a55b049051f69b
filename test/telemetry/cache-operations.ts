/** Operations of a component "cache" on a manual clock: what their tests start from. */
import { SluiceError } from '../../src/core/errors.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import type { OperationLimits, OperationSpec, Operations } from '../../src/telemetry/operate.ts'
import { createOperations, type OperationsOptions } from '../../src/telemetry/operations.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

export const get: OperationSpec = { name: 'get', idempotent: true }
export const put: OperationSpec = { name: 'put', idempotent: false }

const LIMITS: OperationLimits = {
  timeoutMs: 5_000,
  maxConcurrent: 2,
  maxWaiting: 2,
  breakerThreshold: 3,
  breakerResetMs: 1_000,
  retries: 2,
}

/** With these limits changed, and these options. */
export function cacheOperations(
  limits: Partial<OperationLimits> = {},
  options: Partial<OperationsOptions> = {},
): { readonly clock: ManualClock; readonly operations: Operations } {
  const clock = new ManualClock()
  const operations = createOperations({
    component: 'cache',
    kind: 'redis',
    limits: { ...LIMITS, ...limits },
    clock,
    random: () => 0.5,
    log: silentLogger,
    notReady: () => undefined,
    ...options,
  })
  return { clock, operations }
}

export const never = (): Promise<never> => new Promise(() => {})

export function unavailable(text = 'gone'): SluiceError {
  return new SluiceError('SLUICE_UNAVAILABLE', text, { retryable: true })
}
