/**
 * Data of users as JSON. What JSON would change without a word is refused, with its place: a number that is none, a
 * hole in a list, a bigint, a Map. What it can hold comes back as it was: NUL, halves of surrogate pairs, a key called
 * `__proto__`. Properties that are undefined are as if they were not there; what has a `toJSON` is what that says.
 */
import { SluiceError } from './errors.ts'

export const MAX_DEPTH = 500

/** What does not fit, and the way to it, the innermost key first. */
interface Problem {
  readonly what: string
  readonly path: (string | number)[]
}

const NOTHING: Problem = { what: 'undefined', path: [] }

export interface Encoded {
  readonly text: string
  /** Something in it is not itself any more when it is read, such as a Date. */
  readonly changed: boolean
}

export interface JsonLimit {
  readonly maxBytes: number
  /** The setting that raises it. */
  readonly setting: string
}

/** Throws SLUICE_INVALID_DATA or SLUICE_TOO_LARGE, which name the place and the limit. */
export function encodeJson(data: unknown, { maxBytes, setting }: JsonLimit, what: string): Encoded {
  const state = { changed: false }
  let problem: Problem | undefined
  let text: string | undefined
  try {
    problem = data === undefined ? NOTHING : check(data, 0, state)
    // A toJSON may answer with nothing.
    text = problem === undefined ? (JSON.stringify(data) as string | undefined) : undefined
  } catch (error) {
    // A getter or a toJSON of its own.
    throw new SluiceError('SLUICE_INVALID_DATA', `${what}: its data cannot be written as JSON`, {
      cause: error,
    })
  }
  if (text === undefined) throw refused(what, problem ?? NOTHING)
  if (text.length * 3 > maxBytes) {
    const bytes = Buffer.byteLength(text)
    if (bytes > maxBytes) {
      throw new SluiceError(
        'SLUICE_TOO_LARGE',
        `${what}: ${bytes} bytes as JSON, and ${maxBytes} are allowed`,
        {
          hint: `Store the large part elsewhere and name it in the data, or raise ${setting}.`,
          details: { bytes, maxBytes },
        },
      )
    }
  }
  return { text, changed: state.changed }
}

function check(value: unknown, depth: number, state: { changed: boolean }): Problem | undefined {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return undefined
  if (typeof value === 'object') return checkObject(value, depth, state)
  if (typeof value === 'number') {
    return Number.isFinite(value) ? undefined : { what: String(value), path: [] }
  }
  return { what: value === undefined ? 'undefined' : `a ${typeof value}`, path: [] }
}

function checkObject(value: object, depth: number, state: { changed: boolean }): Problem | undefined {
  if (depth >= MAX_DEPTH) {
    return { what: `more than ${MAX_DEPTH} levels, or a circle`, path: [] }
  }
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    state.changed = true
    return undefined
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const problem = check(value[index], depth + 1, state)
      if (problem !== undefined) return under(problem, index)
    }
    return undefined
  }
  const tag = Object.prototype.toString.call(value)
  if (tag !== '[object Object]') return { what: `a ${tag.slice(8, -1)}`, path: [] }
  for (const key of Object.keys(value)) {
    const part = (value as Record<string, unknown>)[key]
    if (part === undefined) continue
    const problem = check(part, depth + 1, state)
    if (problem !== undefined) return under(problem, key)
  }
  return undefined
}

/** Of a deep one the outermost keys tell where it is. */
const MAX_SHOWN_KEYS = 10
const MAX_SHOWN_KEY = 50

function under(problem: Problem, key: string | number): Problem {
  problem.path.push(key)
  return problem
}

function refused(what: string, { what: found, path }: Problem): SluiceError {
  const keys = path.toReversed().map((key) => String(key).slice(0, MAX_SHOWN_KEY))
  const shown = keys.slice(0, MAX_SHOWN_KEYS).join('.') + (keys.length > MAX_SHOWN_KEYS ? '.…' : '')
  const place = shown === '' ? 'its data' : shown
  return new SluiceError('SLUICE_INVALID_DATA', `${what}: ${place}: ${found}, which JSON cannot hold`, {
    hint: 'Hand in plain data: objects, lists, texts, finite numbers, true, false and null.',
  })
}
