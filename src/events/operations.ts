/** The operations of events, the same whatever they travel by. */
import type { OperationLimits, OperationSpec } from '../telemetry/operate.ts'

export const PUBLISH: OperationSpec = Object.freeze({ name: 'publish', idempotent: false })
export const PUBLISH_MANY: OperationSpec = Object.freeze({ name: 'publishMany', idempotent: false })
export const LIST_DEAD: OperationSpec = Object.freeze({ name: 'listDead', idempotent: true })
export const REDRIVE: OperationSpec = Object.freeze({ name: 'redrive', idempotent: false })
export const DROP_DEAD: OperationSpec = Object.freeze({ name: 'dropDead', idempotent: false })

export const LIMITS: OperationLimits = Object.freeze({
  timeoutMs: 30_000,
  maxConcurrent: 10_000,
  maxWaiting: 100_000,
  // The component of the database or broker has one of its own.
  breakerThreshold: 0,
  breakerResetMs: 0,
  retries: 0,
})
