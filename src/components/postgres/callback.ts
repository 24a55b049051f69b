/**
 * Functions of the user's that are called and not waited for, such as handlers of notifications. What such a function
 * throws, and what a promise of it rejects with, is reported and reaches nobody else: left alone, the latter would be an
 * unhandled rejection, which ends the process.
 */
import { isThenable } from '../../core/async-result.ts'
import { toError } from '../../core/errors.ts'

export function callAlone(fn: () => unknown, report: (error: Error) => void): void {
  const failed = (thrown: unknown): void => {
    try {
      report(toError(thrown))
    } catch {
      // The logger is foreign code, too.
    }
  }
  try {
    const outcome = fn()
    if (isThenable(outcome)) void outcome.then(undefined, failed)
  } catch (thrown) {
    failed(thrown)
  }
}
