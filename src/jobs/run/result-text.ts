/** What a handler returned, as JSON, where the job keeps it. */
import { encodeData } from '../encode.ts'
import type { Job } from '../job.ts'

const MAX_RESULT_BYTES = 1_048_576

/** Throws SLUICE_INVALID_DATA or SLUICE_TOO_LARGE, which fails the attempt. */
export function resultText(job: Job<never, unknown>, value: unknown): string {
  return value === undefined ? 'null' : encodeData(value, MAX_RESULT_BYTES, `result of job "${job.name}"`)
}
