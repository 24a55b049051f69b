/**
 * The one error class of sluice and its closed set of codes.
 *
 * Callers branch on `code`, never on the message. `retryable` is a fact decided where the error is made: true means
 * that the same call may succeed later without any change by the caller. The cause is always kept.
 * Every code has a line in docs/errors.md; a test keeps both equal.
 */

/** Every code with its meaning. A code is never reused or renamed once released. */
export const ERROR_CODES = {
  SLUICE_TIMEOUT: 'A deadline passed before the operation finished.',
  SLUICE_CANCELLED: 'The operation was cancelled by its caller.',
  SLUICE_POOL_FULL: 'The bounded queue of a pool is full and its policy is to reject.',
  SLUICE_POOL_CLOSED: 'The pool was closed before the task could run.',
  SLUICE_DROPPED: 'The task was dropped by the overflow policy of its queue.',
  SLUICE_BREAKER_OPEN: 'The circuit breaker is open: the dependency failed too often a moment ago.',
  SLUICE_RATE_LIMITED: 'The rate limit is used up for now.',
  SLUICE_NOT_READY: 'The component is not connected yet.',
  SLUICE_DISABLED: 'The component or service is turned off by configuration.',
  SLUICE_CLOSED: 'The object was closed and cannot be used any more.',
  SLUICE_UNAVAILABLE:
    'The dependency cannot be reached, or the connection was lost before the call was sent.',
  SLUICE_OUTCOME_UNKNOWN:
    'The connection was lost after the call was sent: it may or may not have taken effect.',
  SLUICE_AUTH: 'The dependency refused the credentials.',
  SLUICE_QUERY: 'The database refused the statement.',
  SLUICE_NOT_FOUND: 'There is nothing of that name.',
  SLUICE_CONFLICT: 'The change conflicts with existing or concurrent data.',
  SLUICE_READ_ONLY: 'The server accepts no writes at the moment.',
  SLUICE_OVERLOADED: 'The server has no connection, memory or time left for this call.',
  SLUICE_LOCK_LOST: 'The lock expired or was taken over before the work was finished.',
  SLUICE_LEASE_LOST: 'This process was taken for dead, and its tasks or shards were given to others.',
  SLUICE_CONFIG: 'The configuration has faults; the message lists each of them.',
  SLUICE_INVALID_DATA: 'The data does not fit the schema of its job or event.',
  SLUICE_TOO_LARGE: 'The data is larger than what is stored; the limit is in the message.',
  SLUICE_UNROUTABLE: 'The broker has no queue that takes the message.',
  SLUICE_INVALID_ARGUMENT: 'An argument or option is outside what is allowed.',
  SLUICE_UNSUPPORTED: 'This backing service cannot do what was asked.',
  SLUICE_MISSING_PEER: 'An optional package is needed and not installed.',
  SLUICE_STORE_CORRUPT: 'The embedded database found damaged files and left them untouched.',
  SLUICE_STORE_FULL: 'The disk of the embedded database is full.',
  SLUICE_STORE_LOCKED: 'The directory of the embedded database belongs to another server.',
  SLUICE_STORE_FAILED: 'The embedded database could not be started.',
  SLUICE_LISTEN: 'The HTTP server could not open its port.',
  SLUICE_THREAD_CRASHED: 'The worker thread ended while it ran the task.',
  SLUICE_THREAD_MEMORY: 'The worker thread ran out of its memory limit.',
  SLUICE_SHUTDOWN: 'The app is shutting down and takes no new work.',
  SLUICE_INTERNAL: 'A defect in sluice; please report it.',
} as const

export type ErrorCode = keyof typeof ERROR_CODES

export interface SluiceErrorOptions {
  readonly cause?: unknown
  /** May the same call succeed later without a change by the caller? @default false */
  readonly retryable?: boolean
  /** Name of the component, as the app calls it. */
  readonly component?: string
  /** Name of the operation, such as `get` or `transaction`. */
  readonly operation?: string
  /** What the reader can do about it, one sentence. */
  readonly hint?: string
  /** Facts for programs; must hold no secret. */
  readonly details?: Readonly<Record<string, unknown>>
}

/** The one error class. The message never holds credentials or parameter values. */
export class SluiceError extends Error {
  override readonly name = 'SluiceError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly component: string | undefined
  readonly operation: string | undefined
  readonly hint: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(code: ErrorCode, message: string, options: SluiceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
    this.component = options.component
    this.operation = options.operation
    this.hint = options.hint
    this.details = options.details
  }
}

/** SLUICE_INVALID_ARGUMENT that names the option, what was expected and the value got, whatever that is. */
export function invalidArgument(option: string, expected: string, got: unknown): SluiceError {
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `${option}: expected ${expected}, got ${shown(got)}`)
}

/** As JSON where that shows it; it turns NaN into null and throws at a bigint or a circle. */
function shown(value: unknown): string {
  if (typeof value === 'number') return String(value)
  try {
    return JSON.stringify(value) ?? describe(value)
  } catch {
    return describe(value)
  }
}

/** Is this an error of sluice, also when it comes from another copy of the package? */
export function isSluiceError(error: unknown): error is SluiceError {
  return error instanceof Error && error.name === 'SluiceError' && 'code' in error
}

/** True when `error` is a sluice error with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is SluiceError {
  return isSluiceError(error) && error.code === code
}

/** An Error for any thrown value, the value itself when it is one already. Never throws. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(`non-error thrown: ${describe(thrown)}`, { cause: thrown })
}

function describe(value: unknown): string {
  try {
    return String(value)
  } catch {
    // An object without a prototype, or with a hostile toString.
    return typeof value
  }
}
