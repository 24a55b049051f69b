/**
 * Errors as application/problem+json (RFC 9457). What is sent holds a code, the request's id and nothing of the inside:
 * no stack, SQL, host or message of an unexpected error. That is in the log, under the same request id.
 */
import { STATUS_CODES } from './node-http.ts'
import { isSluiceError, type ErrorCode, type SluiceError } from '../../core/errors.ts'

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: number
  /** For programs: `SLUICE_NOT_READY`, `NOT_FOUND`, `INVALID_REQUEST`, or the code of an error of the service's own. */
  readonly code: string
  readonly detail?: string
  readonly request_id?: string
  /** What is wrong with the request, part by part. */
  readonly errors?: readonly { readonly path: string; readonly reason: string }[]
}

export function problem(status: number, code: string, rest: Partial<Problem> = {}): Problem {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, code, ...rest }
}

/** Errors of ours that a client may be told about, with their status. Every other one is a plain 500. */
const STATUS_OF: Partial<Record<ErrorCode, number>> = {
  SLUICE_NOT_READY: 503,
  SLUICE_UNAVAILABLE: 503,
  SLUICE_BREAKER_OPEN: 503,
  SLUICE_POOL_FULL: 503,
  SLUICE_POOL_CLOSED: 503,
  SLUICE_OVERLOADED: 503,
  SLUICE_READ_ONLY: 503,
  SLUICE_SHUTDOWN: 503,
  SLUICE_DISABLED: 503,
  SLUICE_TIMEOUT: 504,
  SLUICE_RATE_LIMITED: 429,
  SLUICE_CONFLICT: 409,
  SLUICE_NOT_FOUND: 404,
}

/** What a client is told to do, where the message itself may say too much. */
const DETAIL_OF: Partial<Record<ErrorCode, string>> = {
  SLUICE_TIMEOUT: 'A dependency did not answer in time.',
  SLUICE_RATE_LIMITED: 'Too many requests.',
  SLUICE_CONFLICT: 'The change conflicts with existing or concurrent data.',
  SLUICE_NOT_FOUND: 'There is nothing of that name.',
}

/**
 * Of PostgreSQL: bytes that are no text in its encoding, and an escape that jsonb cannot hold. No program sends them by
 * itself, so they came with the request; most often it is NUL.
 */
const UNSTORABLE: ReadonlySet<unknown> = new Set(['22021', '22P05'])

/** Seconds after which a client may ask again, where nobody knows better. */
const RETRY_AFTER_SECONDS = 2
const MAX_RETRY_AFTER_SECONDS = 60

/** Whole seconds for `Retry-After`: one at least, so that nobody asks in a circle. */
export function retryAfterSeconds(ms: number): number {
  return Math.min(MAX_RETRY_AFTER_SECONDS, Math.max(1, Math.ceil(ms / 1_000)))
}

export interface Answer {
  readonly problem: Problem
  /** Seconds for `Retry-After`; undefined where none is sent. */
  readonly retryAfter: number | undefined
  /** Nobody expected this error: it belongs into the log with its stack. */
  readonly unexpected: boolean
}

/**
 * What to answer for an error that a route threw. `reconnectMs`: milliseconds until the next attempt to connect a
 * component of this name.
 */
export function answerFor(
  error: unknown,
  requestId: string,
  reconnectMs: (component: string) => number,
): Answer {
  const request_id = requestId
  if (isSluiceError(error)) {
    if (error.code === 'SLUICE_QUERY' && UNSTORABLE.has(error.details?.['sqlstate'])) {
      const detail = 'A text has a character that cannot be stored, such as NUL.'
      const answer = problem(400, 'INVALID_REQUEST', { detail, request_id })
      return { problem: answer, retryAfter: undefined, unexpected: false }
    }
    const status = STATUS_OF[error.code]
    if (status !== undefined) {
      const detail = DETAIL_OF[error.code] ?? 'A dependency is not available at the moment.'
      const retryAfter = status === 503 || status === 429 ? secondsUntil(error, reconnectMs) : undefined
      return { problem: problem(status, error.code, { detail, request_id }), retryAfter, unexpected: false }
    }
    return { problem: problem(500, 'INTERNAL', { request_id }), retryAfter: undefined, unexpected: true }
  }
  const status = clientStatus(error)
  if (status === undefined) {
    return { problem: problem(500, 'INTERNAL', { request_id }), retryAfter: undefined, unexpected: true }
  }
  const code = codeOf(error, status)
  const detail = error instanceof Error && error.message !== '' ? { detail: error.message } : {}
  const errors = issuesOf(error)
  return {
    problem: problem(status, code, { ...detail, request_id, ...(errors && { errors }) }),
    retryAfter: undefined,
    unexpected: false,
  }
}

/** When the same request may go better: what failed says so itself, or its component does. */
function secondsUntil(error: SluiceError, reconnectMs: (component: string) => number): number {
  const { code, component, details } = error
  const given = details?.['retryAfterMs']
  if (typeof given === 'number') return retryAfterSeconds(given)
  const isAway = code === 'SLUICE_NOT_READY' || code === 'SLUICE_UNAVAILABLE'
  return isAway && component !== undefined ? retryAfterSeconds(reconnectMs(component)) : RETRY_AFTER_SECONDS
}

/**
 * A status of 4xx on an error that says it is for the client: `expose: true`, as that of http-errors and of a service's own,
 * or Fastify's. A status alone says nothing: the errors of clients of other services carry the answer that they got, and
 * their message names hosts and credentials.
 */
function clientStatus(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { statusCode, status, expose, code, validationContext } = error as Readonly<Record<string, unknown>>
  const ofFastify = validationContext !== undefined || (typeof code === 'string' && code.startsWith('FST_'))
  const given = statusCode ?? status
  if (typeof given !== 'number' || !(expose === true || ofFastify)) return undefined
  return given >= 400 && given < 500 ? given : undefined
}

function codeOf(error: unknown, status: number): string {
  const given = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  if (typeof given === 'string' && given !== '' && !given.startsWith('FST_')) return given
  return (STATUS_CODES[status] ?? 'ERROR').toUpperCase().replaceAll(/[^A-Z]+/g, '_')
}

function issuesOf(error: unknown): Problem['errors'] | undefined {
  if (typeof error !== 'object' || error === null || !('problems' in error)) return undefined
  return Array.isArray(error.problems) ? (error.problems as Problem['errors']) : undefined
}
