/** What is kept of a failed attempt: code, message and causes in a line each; no stack, no secret, bounded. */
import { isSluiceError, toError } from '../core/errors.ts'
import { storedText } from '../core/stored-text.ts'
import { redactText } from '../telemetry/redact.ts'

const MAX_LENGTH = 2_000
const MAX_CAUSES = 5

/** Of whatever was thrown; never throws itself. The database can hold it. */
export function errorText(thrown: unknown): string {
  const lines: string[] = []
  const told = new Set<unknown>()
  let error: unknown = thrown
  do {
    told.add(error)
    const { line, cause } = lineOf(error)
    lines.push(line)
    error = cause
    // What is no error has itself as the cause of its text; some errors have so too.
  } while (told.size < MAX_CAUSES && error !== undefined && !told.has(error))
  // Redaction may make it longer, and looks at what would be cut in two.
  return storedText(redactText(lines.join('\ncaused by ').slice(0, MAX_LENGTH * 2)), MAX_LENGTH)
}

/** Parts of an error may be getters, which may throw in their turn. */
function lineOf(error: unknown): { readonly line: string; readonly cause?: unknown } {
  try {
    const { name, message, cause } = toError(error)
    return { line: `${isSluiceError(error) ? error.code : asText(name)}: ${asText(message)}`, cause }
  } catch {
    return { line: 'Error: unknown' }
  }
}

/** Some errors have a message that is no text, or that throws when it is asked for one. */
function asText(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    return String(value)
  } catch {
    return 'unknown'
  }
}
