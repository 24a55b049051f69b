/** The bucket at connect: there, or made where that is wanted. */
import { hasCode } from '../../../core/errors.ts'
import type { S3Config } from '../section.ts'
import type { Send } from './connection.ts'

/** `check` rejects where the bucket cannot be used. */
export async function openBucket(
  check: (signal: AbortSignal) => Promise<void>,
  send: Send,
  config: S3Config,
  signal: AbortSignal,
): Promise<void> {
  try {
    await check(signal)
  } catch (error) {
    if (
      !config.createBucket ||
      !hasCode(error, 'SLUICE_UNAVAILABLE') ||
      error.details?.['reply'] !== 'NoSuchBucket'
    )
      throw error
    try {
      await send('create the bucket', (sdk, Bucket) => new sdk.CreateBucketCommand({ Bucket }), signal)
    } catch (failure) {
      // Another process was faster, or the service answers so to the owner; whether it can be used is asked next.
      if (!hasCode(failure, 'SLUICE_CONFLICT')) throw failure
    }
    await check(signal)
  }
}
