/** The data of a job as JSON, within its limit. */
import { encodeJson, type Encoded } from '../core/json-data.ts'

export { MAX_DEPTH } from '../core/json-data.ts'

/** Throws SLUICE_INVALID_DATA or SLUICE_TOO_LARGE, which name the place and the limit. */
export function encodeData(data: unknown, maxBytes: number, what: string): string {
  return encode(data, maxBytes, what).text
}

export function encode(data: unknown, maxBytes: number, what: string): Encoded {
  return encodeJson(data, { maxBytes, setting: 'JOBS_MAX_BODY_SIZE' }, what)
}
