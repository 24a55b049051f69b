/** What is kept of a failed attempt: code, message and causes in a line each; no stack, no secret, bounded. */
import { isSluiceError, toError } from '../../core/errors.ts'
import { redactText } from '../../telemetry/redact.ts'

const MAX_LENGTH = 2_000
const MAX_CAUSES = 5

export function errorText(thrown: unknown): string {
  const lines: string[] = []
  let error: unknown = thrown
  for (let depth = 0; depth < MAX_CAUSES && error !== undefined; depth += 1) {
    const { name, message, cause } = toError(error)
    lines.push(`${isSluiceError(error) ? error.code : name}: ${message}`)
    error = cause
  }
  const text = redactText(lines.join('\ncaused by ').slice(0, MAX_LENGTH * 2))
  return text.replaceAll('\0', '�').slice(0, MAX_LENGTH)
}
