/**
 * Which keys there may be. What S3 itself takes and then makes trouble with is refused here, before anything is sent:
 * `..` and `.` are resolved by many a client and proxy on the way, and a leading slash is nearly always a mistake.
 */
import { SluiceError } from '../../core/errors.ts'

const MAX_KEY_BYTES = 1_024
/** C0 controls, delete and C1 controls. */
// eslint-disable-next-line no-control-regex -- these are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/
/** Characters of a key that a message repeats. */
const MAX_SHOWN = 60

/** Turns the caller's key into that of the store, and checks it. */
export interface Keys {
  /** @throws SluiceError SLUICE_INVALID_ARGUMENT */
  toStored(key: string, what?: string): string
  toStoredPrefix(prefix: string): string
  fromStored(key: string): string
}

export function keysUnder(prefix: string): Keys {
  return {
    toStored(key, what = 'key') {
      if (typeof key !== 'string')
        throw invalidKey(`${what}: expected text, got ${key === null ? 'null' : typeof key}`)
      const fault = faultOf(prefix + key, key)
      if (fault !== undefined) throw invalidKey(`${what} ${shown(key)}: expected ${fault}`)
      return prefix + key
    },
    toStoredPrefix(wanted) {
      if (typeof wanted !== 'string') throw invalidKey(`prefix: expected text, got ${typeof wanted}`)
      if (CONTROL.test(wanted) || !wanted.isWellFormed())
        throw invalidKey(`prefix ${shown(wanted)}: expected well-formed text without control characters`)
      return prefix + wanted
    },
    fromStored: (key) => key.slice(prefix.length),
  }
}

function faultOf(stored: string, key: string): string | undefined {
  if (key === '') return 'text that is not empty'
  if (!key.isWellFormed()) return 'well-formed text, without half of a surrogate pair'
  if (CONTROL.test(key)) return 'text without control characters'
  if (key.startsWith('/') || stored.startsWith('/')) return 'a key without a leading /'
  if (stored.split('/').some((segment) => segment === '.' || segment === '..'))
    return "a key without the segments '.' and '..'"
  if (Buffer.byteLength(stored) > MAX_KEY_BYTES) return `at most ${MAX_KEY_BYTES} bytes, prefix included`
  return undefined
}

function invalidKey(message: string): SluiceError {
  return new SluiceError('SLUICE_INVALID_ARGUMENT', message)
}

/** Escaped, so that no control character gets into a log. */
function shown(key: string): string {
  return JSON.stringify(key.length > MAX_SHOWN ? `${key.slice(0, MAX_SHOWN)}…` : key)
}
