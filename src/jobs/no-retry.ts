/** The way of a handler to say that another attempt is of no use. */
import { toError } from '../core/errors.ts'

const marked = new WeakSet<Error>()

/**
 * Marks an error: `throw noRetry(new Error('no such user'))` makes the job a dead letter at once, whatever attempts it
 * has left. The error itself is returned.
 */
export function noRetry(error: unknown): Error {
  const marking = toError(error)
  marked.add(marking)
  return marking
}

/** What `error` hands on of a marked one, which the transaction around the handler wrapped; else `error` itself. */
export function unwrapNoRetry(error: unknown): unknown {
  return error instanceof Error && isNoRetry(error.cause) ? error.cause : error
}

export function isNoRetry(error: unknown): boolean {
  return error instanceof Error && marked.has(error)
}
