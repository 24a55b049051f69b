/**
 * What the server or the connection says, as one of our codes.
 *
 * A reply that names a state of the server (LOADING, BUSY, OOM, …) proves that the command was not run, so it may be
 * sent again. A lost connection proves nothing about what was in flight. The server's text is kept only where it
 * cannot repeat an argument.
 */
import { SluiceError, isSluiceError, toError, type ErrorCode } from '../../../core/errors.ts'
import type { RedisModule } from './peer.ts'

interface Reading {
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly hint?: string
  /** The server is well and refuses this one command: that is nothing for the breaker to count. */
  readonly answered?: boolean
}

const BY_PREFIX: Readonly<Record<string, Reading>> = {
  LOADING: { code: 'SLUICE_UNAVAILABLE', retryable: true, hint: 'The server is loading its data; wait.' },
  MASTERDOWN: { code: 'SLUICE_UNAVAILABLE', retryable: true, hint: 'The replica has lost its master.' },
  CLUSTERDOWN: { code: 'SLUICE_UNAVAILABLE', retryable: true },
  TRYAGAIN: { code: 'SLUICE_UNAVAILABLE', retryable: true },
  UNBLOCKED: { code: 'SLUICE_UNAVAILABLE', retryable: true },
  BUSY: { code: 'SLUICE_OVERLOADED', retryable: true, hint: 'A script runs too long on the server.' },
  OOM: { code: 'SLUICE_OVERLOADED', retryable: true, hint: "The server's maxmemory is used up." },
  READONLY: {
    code: 'SLUICE_READ_ONLY',
    retryable: true,
    hint: 'This is a replica; point REDIS_ADDR at the master.',
  },
  MISCONF: {
    code: 'SLUICE_READ_ONLY',
    retryable: true,
    hint: 'The server cannot save to disk and refuses writes.',
  },
  NOREPLICAS: {
    code: 'SLUICE_READ_ONLY',
    retryable: true,
    hint: 'The server has too few replicas for writes.',
  },
  NOAUTH: { code: 'SLUICE_AUTH', retryable: false, hint: 'Set REDIS_PASSWORD.' },
  WRONGPASS: { code: 'SLUICE_AUTH', retryable: false, hint: 'Check REDIS_USERNAME and REDIS_PASSWORD.' },
  NOPERM: {
    code: 'SLUICE_AUTH',
    retryable: false,
    hint: 'The user of the access control list may not run this command, or not on this key or channel.',
    answered: true,
  },
  MOVED: { code: 'SLUICE_UNSUPPORTED', retryable: false, hint: 'Redis Cluster is not supported.' },
  ASK: { code: 'SLUICE_UNSUPPORTED', retryable: false, hint: 'Redis Cluster is not supported.' },
  CROSSSLOT: { code: 'SLUICE_UNSUPPORTED', retryable: false, hint: 'Redis Cluster is not supported.' },
}

const ERR: readonly (readonly [RegExp, Reading])[] = [
  [
    /^ERR max number of clients/,
    {
      code: 'SLUICE_OVERLOADED',
      retryable: true,
      hint: "Raise the server's maxclients, or lower REDIS_POOL_SIZE.",
    },
  ],
  [
    /^ERR (AUTH|Client sent AUTH|invalid password)/i,
    { code: 'SLUICE_AUTH', retryable: false, hint: 'Check REDIS_PASSWORD; the server may want none.' },
  ],
  [/^ERR unknown (command|subcommand)/i, { code: 'SLUICE_UNSUPPORTED', retryable: false }],
]

const REFUSED: Reading = { code: 'SLUICE_QUERY', retryable: false }

/** An error reply of the server. */
function replyError(error: Error): SluiceError {
  const prefix = /^-?([A-Z]+)/.exec(error.message)?.[1] ?? 'ERR'
  const reading = BY_PREFIX[prefix] ?? ERR.find(([pattern]) => pattern.test(error.message))?.[1] ?? REFUSED
  const text = safeText(error.message)
  return new SluiceError(reading.code, `redis replied: ${text}`, {
    retryable: reading.retryable,
    details: { reply: prefix, ...(reading.answered === true ? { answered: true } : {}) },
    ...(reading.hint === undefined ? {} : { hint: reading.hint }),
    // Where the text was cut, the cause would bring back what was cut.
    ...(text === error.message ? { cause: error } : {}),
  })
}

export interface DriverCall {
  /** Name of the component. */
  readonly component: string
  readonly peer: RedisModule
  /** May the command be sent again? */
  readonly idempotent: boolean
}

/** Whatever a call of the driver rejected with. */
export function driverError(thrown: unknown, { component, peer, idempotent }: DriverCall): SluiceError {
  if (isSluiceError(thrown)) return thrown
  const error = toError(thrown)
  if (error instanceof peer.ErrorReply) return replyError(error)
  if (error instanceof TypeError)
    return new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      `${component}: an argument of a command is neither text nor bytes`,
    )
  if (error.message === 'The queue is full') {
    return new SluiceError('SLUICE_OVERLOADED', `${component}: too many commands wait for their replies`, {
      cause: error,
      retryable: true,
    })
  }
  const unsent = error instanceof peer.ClientClosedError || error instanceof peer.ClientOfflineError
  return unsent || idempotent
    ? unavailable(component, 'the connection was lost', error)
    : new SluiceError(
        'SLUICE_OUTCOME_UNKNOWN',
        `${component}: the connection was lost after the command was sent; it may or may not have run`,
        { cause: error },
      )
}

/** The server could not be reached; `cause` says why, for each address that its name stands for. */
export function cannotConnect(component: string, where: string, cause: unknown): SluiceError {
  const error = toError(cause)
  const reasons = error instanceof AggregateError ? error.errors.map(toError) : [error]
  const why = reasons.map(({ message }) => message).join('; ')
  return unavailable(component, `cannot connect to ${where}: ${why}`, error)
}

export function closedError(component: string): SluiceError {
  return new SluiceError('SLUICE_CLOSED', `${component} was closed`)
}

export function unavailable(component: string, what: string, cause?: unknown): SluiceError {
  return new SluiceError('SLUICE_UNAVAILABLE', `${component}: ${what}`, {
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  })
}

/** The server repeats arguments after "with args" and in quotes. */
function safeText(message: string): string {
  return message
    .replace(/,? with args beginning with:.*$/s, '')
    .replace(/'[^']*'|`[^`]*`|"[^"]*"/g, '…')
    .slice(0, 200)
}
