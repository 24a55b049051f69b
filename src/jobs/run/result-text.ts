/** What a handler returned, as JSON, where the job keeps it. */
import { encodeData } from '../encode.ts'
import type { Job } from '../job.ts'
import { noRetry } from '../no-retry.ts'

const MAX_RESULT_BYTES = 1_048_576

/**
 * Throws SLUICE_INVALID_DATA or SLUICE_TOO_LARGE, which makes it a dead letter: the handler's work is done, and another
 * attempt would do it again and return the like.
 */
export function resultText(job: Job<never, unknown>, value: unknown): string {
  if (value === undefined) return 'null'
  try {
    return encodeData(value, MAX_RESULT_BYTES, `result of job "${job.name}"`)
  } catch (error) {
    throw noRetry(error)
  }
}
