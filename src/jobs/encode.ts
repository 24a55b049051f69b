/** The data of a job as JSON. */
import { invalidArgument, SluiceError } from '../core/errors.ts'

/** Throws SLUICE_INVALID_DATA or SLUICE_TOO_LARGE. */
export function encodeData(data: unknown, maxBytes: number, what: string): string {
  let text: string | undefined
  try {
    text = JSON.stringify(data)
  } catch (error) {
    throw new SluiceError('SLUICE_INVALID_DATA', `${what}: it is not JSON: ${String(error)}`, {
      cause: error,
    })
  }
  if (text === undefined) throw invalidArgument(what, 'data that JSON can hold', typeof data)
  if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) {
    throw new SluiceError(
      'SLUICE_TOO_LARGE',
      `${what}: ${Buffer.byteLength(text)} bytes as JSON, and ${maxBytes} are allowed (JOBS_MAX_BODY_SIZE)`,
    )
  }
  return text
}
