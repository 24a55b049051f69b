/** Whether the database would refuse the same values again, so that waiting helps nobody. */
import { isSluiceError, type ErrorCode } from '../core/errors.ts'

/** Of values: data exceptions, constraints, limits of the program. What is wrong with a table or a right is none of them. */
const CLASSES: readonly string[] = ['22', '23', '54']
/** Of values that are not even sent. */
const CODES: readonly ErrorCode[] = ['SLUICE_INVALID_ARGUMENT', 'SLUICE_INVALID_DATA', 'SLUICE_TOO_LARGE']

/** Also of a batch that is too large to be made a text of. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof RangeError) return true
  if (!isSluiceError(error) || error.retryable) return false
  return CODES.includes(error.code) || CLASSES.includes(sqlStateOf(error)?.slice(0, 2) ?? '')
}

/** For texts that are stored: what was refused may stand in the message. */
export function refusalText(what: string, error: unknown): string {
  const state = sqlStateOf(error)
  return `SLUICE_QUERY: ${what} could not be stored as it was: the database refused it${state === undefined ? '' : ` (SQLSTATE ${state})`}`
}

function sqlStateOf(error: unknown): string | undefined {
  const state = isSluiceError(error) ? error.details?.['sqlstate'] : undefined
  return typeof state === 'string' ? state : undefined
}
