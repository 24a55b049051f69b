/** What may be done about a job that was not stored, or of which nobody knows whether it was. */
import { hasCode, SluiceError } from '../core/errors.ts'
import { isNameHeld } from '../engine/tasks/unique.ts'

/** `isUnique`: all of them have a unique name. */
export function enqueueFailure(error: unknown, isUnique: boolean): unknown {
  if (isNameHeld(error)) {
    return new SluiceError('SLUICE_CONFLICT', 'a transaction that is still open holds the unique name', {
      cause: error,
      retryable: true,
      hint: 'It has enqueued or replaced a job of this name: try again when it has ended, and keep such transactions short.',
    })
  }
  if (!hasCode(error, 'SLUICE_OUTCOME_UNKNOWN')) return error
  const text = 'the connection was lost while jobs were stored: they may or may not be there'
  return new SluiceError('SLUICE_OUTCOME_UNKNOWN', text, {
    cause: error,
    retryable: isUnique,
    hint: isUnique
      ? 'Enqueue them again: what is there already is found by its unique name.'
      : 'Enqueue them again where twice does no harm. With a unique name a repeat finds what is there already.',
  })
}
