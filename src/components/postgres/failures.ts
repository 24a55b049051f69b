/**
 * What a failure of PostgreSQL, of the driver or of the network means, as one of sluice's codes.
 *
 * The message and the cause never hold a value: the server's `detail`, `where` and `internalQuery` are left out, and
 * what class 22 (data exceptions) quotes is cut. Names of constraints, tables and columns are kept.
 */
import { SluiceError, isSluiceError, toError, type ErrorCode } from '../../core/errors.ts'

const CHECK_LOGIN = 'Check user and password of the DSN'

interface Meaning {
  readonly code: ErrorCode
  readonly retryable?: boolean
  readonly hint?: string
  /** Another meaning where the server says it of one statement and goes on. */
  readonly ofStatement?: Omit<Meaning, 'ofStatement'>
}

/** It concerns one statement: sending it again changes nothing, and the server serves all others. */
const REFUSED: Meaning = { code: 'SLUICE_QUERY' }

/** By SQLSTATE, the longest prefix first. https://www.postgresql.org/docs/current/errcodes-appendix.html */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  // Of a statement: a server behind the server (dblink, postgres_fdw), or a function that raises it.
  '08': { code: 'SLUICE_UNAVAILABLE', retryable: true, ofStatement: { code: 'SLUICE_UNAVAILABLE' } },
  '08P01': {
    code: 'SLUICE_UNAVAILABLE',
    retryable: true,
    ofStatement: { ...REFUSED, hint: 'Give as many parameters as the statement has places: $1, $2, …' },
  },
  '22': { code: 'SLUICE_QUERY' },
  '23': { code: 'SLUICE_CONFLICT' },
  // A value that was left out is a fault of the program, and none of its callers' data.
  '23502': { code: 'SLUICE_QUERY' },
  '25': { code: 'SLUICE_QUERY' },
  '25006': {
    code: 'SLUICE_READ_ONLY',
    retryable: true,
    hint: 'The server is a standby or was made read-only; connect to the primary.',
  },
  '25P03': { code: 'SLUICE_UNAVAILABLE', retryable: true },
  '28': { code: 'SLUICE_AUTH', hint: `${CHECK_LOGIN}, and pg_hba.conf of the server.` },
  '3D000': { code: 'SLUICE_UNAVAILABLE', retryable: true, hint: 'Create the database, or correct the DSN.' },
  '40': { code: 'SLUICE_CONFLICT', retryable: true },
  '40002': { code: 'SLUICE_CONFLICT' },
  '40003': { code: 'SLUICE_OUTCOME_UNKNOWN' },
  '42': { code: 'SLUICE_QUERY' },
  '42501': { code: 'SLUICE_QUERY', hint: 'The role has no right to do this; see GRANT.' },
  '53': { code: 'SLUICE_OVERLOADED', retryable: true, ofStatement: { code: 'SLUICE_OVERLOADED' } },
  '53100': { code: 'SLUICE_STORE_FULL', retryable: true },
  '53300': {
    code: 'SLUICE_OVERLOADED',
    retryable: true,
    hint: 'The server has no connection left: lower POSTGRES_MAX_OPEN_CONNS or raise max_connections.',
  },
  '53400': { code: 'SLUICE_OVERLOADED', retryable: true, ofStatement: REFUSED },
  '55P03': { code: 'SLUICE_CONFLICT', retryable: true },
  // By statement_timeout, or by hand: the next try would take as long.
  '57014': {
    code: 'SLUICE_TIMEOUT',
    retryable: true,
    ofStatement: {
      code: 'SLUICE_TIMEOUT',
      hint: "The server's statement_timeout, or pg_cancel_backend, ended it.",
    },
  },
  '57P': { code: 'SLUICE_UNAVAILABLE', retryable: true },
  '58': { code: 'SLUICE_UNAVAILABLE', retryable: true },
  '58P': { code: 'SLUICE_UNAVAILABLE', retryable: true, ofStatement: REFUSED },
  XX001: { code: 'SLUICE_STORE_CORRUPT' },
  XX002: { code: 'SLUICE_STORE_CORRUPT' },
}

/** Of Node.js, before or while a connection is up. */
const NETWORK: ReadonlySet<string> = new Set(
  'ECONNREFUSED,ECONNRESET,ECONNABORTED,EPIPE,ETIMEDOUT,EHOSTUNREACH,ENETUNREACH,EHOSTDOWN,ENOTFOUND,EAI_AGAIN,ENOENT,EADDRNOTAVAIL,EMFILE,ENFILE,EAGAIN,EACCES'.split(
    ',',
  ),
)

export interface FailureContext {
  readonly component: string
  /** What the connection was opened to, for hints: `db:5432, database "todo"`. No user, no password. */
  readonly target?: string
  /** The statement was written to the socket and no reply of the server settled it. */
  readonly sent?: boolean
  /** The statement may be sent twice. */
  readonly repeatable?: boolean
}

/** One of sluice's errors for whatever went wrong. An error of sluice comes back as it is. */
export function failureOf(thrown: unknown, context: FailureContext): SluiceError {
  if (isSluiceError(thrown)) return thrown
  const error = toError(thrown)
  const state = sqlState(error)
  if (state !== undefined) return fromServer(error, state, context)
  return fromNetwork(error, context)
}

/** The SQLSTATE of an error of the server, also when it is wrapped in one of sluice's. */
export function sqlState(error: unknown): string | undefined {
  if (isSluiceError(error)) {
    const state = error.details?.['sqlstate']
    return typeof state === 'string' ? state : undefined
  }
  if (!(error instanceof Error) || !('code' in error) || !('severity' in error)) return undefined
  return typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined
}

/** Did the server end the connection with this message? */
export function isFatal(error: Error): boolean {
  return 'severity' in error && (error.severity === 'FATAL' || error.severity === 'PANIC')
}

/**
 * Does PostgreSQL refuse one statement with this message? It names the routine that raised it, which a pooler that has
 * lost its server does not.
 */
function isOfStatement(error: Error): boolean {
  return !isFatal(error) && typeof (error as { readonly routine?: unknown }).routine === 'string'
}

function fromServer(error: Error, state: string, context: FailureContext): SluiceError {
  const known = MEANINGS[state] ?? MEANINGS[state.slice(0, 3)] ?? MEANINGS[state.slice(0, 2)] ?? REFUSED
  const { ofStatement } = known
  const isAnswer = ofStatement !== undefined && isOfStatement(error)
  const { code, retryable = false, hint } = isAnswer ? ofStatement : known
  const message = withoutValues(error.message, state)
  const details: Record<string, unknown> = { sqlstate: state, ...(isAnswer ? { answered: true } : {}) }
  for (const field of ['constraint', 'schema', 'table', 'column', 'dataType', 'position'] as const) {
    const value = (error as unknown as Readonly<Record<string, unknown>>)[field]
    if (typeof value === 'string') details[field] = value
  }
  const serverHint = (error as { readonly hint?: unknown }).hint
  const shown = hint ?? (typeof serverHint === 'string' && state.startsWith('42') ? serverHint : undefined)
  return new SluiceError(code, `${context.component}: ${message} (SQLSTATE ${state})`, {
    cause: new DatabaseFailure(message, error, details),
    retryable,
    component: context.component,
    details,
    ...(shown === undefined ? {} : { hint: withTarget(shown, context) }),
  })
}

function fromNetwork(error: Error, context: FailureContext): SluiceError {
  const { component } = context
  const more = { cause: error, component }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (context.sent === true && context.repeatable !== true) {
    return new SluiceError(
      'SLUICE_OUTCOME_UNKNOWN',
      `${component}: the connection was lost after the statement was sent (${reason(error)})`,
      { ...more, hint: 'Look whether it took effect before sending it again.' },
    )
  }
  if (/client password must be a/.test(error.message)) {
    return new SluiceError(
      'SLUICE_AUTH',
      `${component}: the server asks for a password and the DSN has none`,
      {
        ...more,
        hint: withTarget('Write it into the DSN, with a colon between the user and it.', context),
      },
    )
  }
  if (/^(SASL|SCRAM)/.test(error.message) || /password/i.test(error.message)) {
    return new SluiceError('SLUICE_AUTH', `${component}: ${error.message}`, {
      ...more,
      hint: withTarget(`${CHECK_LOGIN}.`, context),
    })
  }
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code) || /SSL/.test(error.message)) {
    return new SluiceError('SLUICE_UNAVAILABLE', `${component}: TLS failed: ${error.message}`, {
      ...more,
      retryable: true,
      hint: 'Check sslmode and sslrootcert of the DSN.',
    })
  }
  if (error.message === 'timeout expired') {
    return new SluiceError('SLUICE_TIMEOUT', `"${component}: connect" timed out`, {
      ...more,
      retryable: true,
    })
  }
  const what = NETWORK.has(code) ? 'the server cannot be reached' : 'the connection failed'
  return new SluiceError('SLUICE_UNAVAILABLE', `${component}: ${what} (${reason(error)})`, {
    ...more,
    retryable: true,
  })
}

/** The hint of a failed connect names where it led: one wrong letter is seen at once. */
function withTarget(hint: string, { target }: FailureContext): string {
  return target === undefined ? hint : `${hint} The connection was to ${target}.`
}

/** The server's error with its names and without its values. */
class DatabaseFailure extends Error {
  override readonly name = 'DatabaseFailure'
  readonly details: Readonly<Record<string, unknown>>

  constructor(message: string, original: Error, details: Readonly<Record<string, unknown>>) {
    super(message)
    this.details = details
    if (original.stack !== undefined) this.stack = original.stack.replace(original.message, () => message)
  }
}

function withoutValues(message: string, state: string): string {
  return state.startsWith('22') ? message.replace(/"[\s\S]*"/, '"…"') : message
}

/** AggregateError (one attempt per address) has no message of its own. */
function reason(error: Error): string {
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map((each: unknown) => toError(each).message).join('; ')
  }
  return error.message
}
