/** Which errors say that the dependency is unwell, as opposed to the call being wrong or unwanted. */
import { isSluiceError, type ErrorCode, type SluiceError } from '../core/errors.ts'

/**
 * A statement with a mistake, a duplicate key or an abort by the caller proves that the dependency works; these codes
 * prove that it does not. An error that is no sluice error comes from the user's own code inside an operation.
 */
const DEPENDENCY_FAILURES: ReadonlySet<ErrorCode> = new Set([
  'SLUICE_TIMEOUT',
  'SLUICE_UNAVAILABLE',
  'SLUICE_OUTCOME_UNKNOWN',
  'SLUICE_OVERLOADED',
  'SLUICE_AUTH',
  'SLUICE_READ_ONLY',
])

export function isDependencyFailure(error: unknown): boolean {
  return isSluiceError(error) && DEPENDENCY_FAILURES.has(error.code) && !isAnswered(error)
}

/**
 * Where a code says that a dependency is unwell, `details.answered: true` says that it is not: it answered, and refused
 * this one call (a statement that its own time limit ended, say).
 */
function isAnswered(error: SluiceError): boolean {
  return error.details?.['answered'] === true
}
