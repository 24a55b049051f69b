/**
 * What the broker or the connection says, as one of our codes. Texts of the broker name exchanges, queues and arguments,
 * which is what their reader needs, and never a password.
 */
import { isSluiceError, SluiceError, toError, type ErrorCode } from '../../../core/errors.ts'

interface Reading {
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly hint?: string
}

/** By the code of the driver, which is the name of AMQP's. */
const READINGS: Readonly<Record<string, Reading>> = {
  ACCESS_REFUSED: {
    code: 'SLUICE_AUTH',
    retryable: false,
    hint: 'Check MQ_USER and MQ_PASSWORD, and the permissions of the user on the virtual host.',
  },
  NOT_ALLOWED: {
    code: 'SLUICE_AUTH',
    retryable: false,
    hint: 'Check MQ_VHOST: the virtual host must be there and the user must have permissions on it.',
  },
  PRECONDITION_FAILED: {
    code: 'SLUICE_CONFLICT',
    retryable: false,
    hint: 'What is on the broker differs; delete it there, or give the new one another name.',
  },
  RESOURCE_LOCKED: {
    code: 'SLUICE_CONFLICT',
    retryable: false,
    hint: 'Another connection holds it exclusively.',
  },
  NOT_FOUND: { code: 'SLUICE_UNAVAILABLE', retryable: true, hint: 'Create it; it is looked for again.' },
  RESOURCE_ERROR: { code: 'SLUICE_OVERLOADED', retryable: true },
  NACK: {
    code: 'SLUICE_OVERLOADED',
    retryable: true,
    hint: 'A queue is full or has no quorum; look at its length and its limits.',
  },
}

const LOST: Reading = { code: 'SLUICE_UNAVAILABLE', retryable: true }

/** The driver's code, such as `NOT_FOUND` or `ECONNREFUSED`. */
export function driverCode(thrown: unknown): string | undefined {
  const code = (thrown as { readonly code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** What the broker says, without what the driver puts before it: `no exchange 'a' in vhost '/'`. */
export function brokerText(thrown: unknown): string {
  const { message } = toError(thrown)
  return message.replace(/^(?:[A-Z]\w+: )?(?:[A-Z_]+ - )?/, '')
}

/** Whatever a call of the driver rejected with. `what`: what we were doing, for the message. */
export function driverError(component: string, what: string, thrown: unknown): SluiceError {
  if (isSluiceError(thrown)) return thrown
  const code = driverCode(thrown)
  const { code: ours, retryable, hint } = (code === undefined ? undefined : READINGS[code]) ?? LOST
  return new SluiceError(ours, `${component}: ${what}: ${brokerText(thrown)}`, {
    component,
    retryable,
    cause: thrown,
    ...(hint === undefined ? {} : { hint }),
    ...(code === undefined ? {} : { details: { reply: code } }),
  })
}

export function closedError(component: string): SluiceError {
  return new SluiceError('SLUICE_CLOSED', `${component}: was closed`, { component })
}
