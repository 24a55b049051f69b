/** Errors of connections and pools that are gone, closed or were given up, for their own reasons and not the server's. */
import { SluiceError } from '../../core/errors.ts'

/** The pool was closed for good. */
export function closedError(component: string): SluiceError {
  return new SluiceError('SLUICE_CLOSED', `${component} is closed`, { component })
}

/** The pool has no connection, and opens none until it is told to. */
export function downError(component: string): SluiceError {
  return unavailable(component, `${component} is not connected`)
}

/** `what`: what a statement did that its connection had to be closed for. */
export function brokenBy(component: string, what: string): SluiceError {
  return unavailable(component, `${component}: the connection was closed: a statement ${what}`)
}

/** The operation that it belonged to is over. */
export function givenUp(component: string): SluiceError {
  return unavailable(component, `${component}: the connection was given up by its user`)
}

function unavailable(component: string, message: string): SluiceError {
  return new SluiceError('SLUICE_UNAVAILABLE', message, { component, retryable: true })
}
