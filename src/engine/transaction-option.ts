/** The option `tx` of calls that may be part of a transaction of the user's. */
import { SluiceError } from '../core/errors.ts'

/**
 * Throws SLUICE_INVALID_ARGUMENT for what is no transaction, before anything is sent: the database itself would store
 * at once what was to commit with something else. `place`: what the message calls the call.
 */
export function checkTransaction(place: string, tx: unknown): void {
  if (tx === undefined || isTransaction(tx)) return
  const got = isDatabase(tx) ? 'the database itself' : 'something else'
  throw new SluiceError('SLUICE_INVALID_ARGUMENT', `${place}: tx: expected a transaction, got ${got}`, {
    hint: 'Hand in what the function of db.transaction(async (tx) => …) is given, of a postgres() component.',
  })
}

function isTransaction(value: unknown): boolean {
  return has(value, 'query') && has(value, 'queryOne') && has(value, 'afterCommit')
}

function isDatabase(value: unknown): boolean {
  return has(value, 'query') && has(value, 'transaction')
}

function has(value: unknown, method: string): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Readonly<Record<string, unknown>>)[method] === 'function'
  )
}
