/** Options of calls: one that is not known is a typing mistake, and doing without it is hardly ever what was meant. */
import { SluiceError } from '../core/errors.ts'
import { nearest } from './nearest.ts'

/**
 * Throws SLUICE_INVALID_ARGUMENT where `options` has a key that is not among `known`; undefined values count as not
 * given. `place`: what the message calls the call, such as `jobs.enqueue`.
 */
export function checkOptionNames(place: string, options: object | undefined, known: readonly string[]): void {
  if (options === undefined) return
  if (typeof options !== 'object' || options === null) {
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', `${place}: expected an object of options`)
  }
  // Part of every enqueue and publish: no array is made of what is given.
  for (const key in options) {
    if (known.includes(key) || !Object.hasOwn(options, key)) continue
    if ((options as Readonly<Record<string, unknown>>)[key] === undefined) continue
    const near = nearest(key, known)
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', `${place}: there is no option "${key}"`, {
      hint: near === undefined ? `Options are ${known.join(', ')}.` : `Did you mean "${near}"?`,
    })
  }
}
