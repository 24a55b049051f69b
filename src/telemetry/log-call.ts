/**
 * Reads what a log call was given. Callers hand over anything, also what the types forbid, and often while they handle
 * a failure: nothing here throws. What cannot be read is told of in the line.
 */
import { describeError } from './redact.ts'

export interface LogCall {
  /** Those of the logger and of the call in one object of their own; those of the call win. Not redacted. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Not redacted. */
  readonly message: string
}

type Fields = Readonly<Record<string, unknown>>

/** A line of a logger whose own fields are `bound`, see `Logger`. Also takes `(message, error)`, console's order. */
export function readCall(bound: Fields, first: unknown, second: unknown): LogCall {
  if (typeof first === 'string') return { fields: mergeFields(bound, second), message: first }
  if (typeof second === 'string') return { fields: mergeFields(bound, first), message: second }
  const own = mergeFields(mergeFields({}, second), first)
  const { msg, ...others } = own
  return typeof msg === 'string'
    ? { fields: { ...bound, ...others }, message: msg }
    : { fields: { ...bound, ...own }, message: messageOf(own['err']) }
}

/** A copy of `bound` and of what `given` holds. */
export function mergeFields(bound: Fields, given: unknown): Fields {
  try {
    const fields = fieldsOf(given)
    try {
      return { ...bound, ...fields }
    } catch {
      return { ...bound, ...copyEach(fields) }
    }
  } catch (thrown) {
    // A proxy that refuses to name its keys, or was revoked.
    return { ...bound, unprintable: reasonOf(thrown) }
  }
}

/** Why a value could not be read, redacted. */
export function reasonOf(thrown: unknown): string {
  try {
    const { message } = describeError(thrown)
    if (typeof message === 'string') return message
  } catch {
    // What was thrown cannot be read either.
  }
  return 'no reason given'
}

function fieldsOf(given: unknown): object {
  if (given === undefined || given === null) return {}
  if (given instanceof Error) return { err: given }
  const isRecord =
    typeof given === 'object' && !(Symbol.iterator in given || given instanceof Date || given instanceof URL)
  return isRecord ? given : { value: given }
}

/** A getter threw: the others are still worth having. */
function copyEach(fields: object): object {
  const copy = Object.create(null) as Record<string, unknown>
  for (const name of Object.keys(fields)) {
    try {
      copy[name] = (fields as Fields)[name]
    } catch (thrown) {
      copy[name] = `[unprintable: ${reasonOf(thrown)}]`
    }
  }
  return copy
}

function messageOf(err: unknown): string {
  try {
    return err instanceof Error ? String(err.message) : ''
  } catch {
    return ''
  }
}
