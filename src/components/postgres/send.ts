/** How one statement is sent: the primitive that every call on a database is made of. */
import type { AsyncResult } from '../../core/async-result.ts'
import type { OperationSpec } from '../../telemetry/operate.ts'
import type { QueryOptions } from './api.ts'
import type { DriverResult, TypeParsers } from './driver.ts'

/** An operation that may be repeated, and the same one when it may not. */
export interface SpecPair {
  readonly repeatable: OperationSpec
  readonly once: OperationSpec
}

export interface SendExtras {
  readonly rowMode?: 'array' | undefined
  readonly types?: TypeParsers | undefined
}

/** Sends one statement as the operation that `spec` names, and makes its result of the reply. */
export type Send = <T>(
  spec: SpecPair,
  sql: string,
  params: readonly unknown[] | undefined,
  options: QueryOptions | undefined,
  read: (result: DriverResult) => T,
  extras?: SendExtras,
) => AsyncResult<T>

export function specPair(name: string): SpecPair {
  return Object.freeze({
    repeatable: Object.freeze({ name, idempotent: true }),
    once: Object.freeze({ name, idempotent: false }),
  })
}
