/** The driver's bulk write, with an error of ours that says which parts failed, and no values. */
import type {
  AnyBulkWriteOperation,
  BulkWriteOptions,
  BulkWriteResult,
  Collection,
  Document,
  MongoBulkWriteError,
  WriteError,
} from 'mongodb'
import { invalidArgument, SluiceError } from '../../core/errors.ts'
import type { BatchOptions } from './api.ts'
import { driverOptions } from './call.ts'
import { writeError } from './client/errors.ts'
import type { Scope } from './host.ts'

/** Writes of one call at most; the server takes 100,000 in one request. */
export const MAX_WRITES = 100_000
/** Failed parts that an error lists; the rest are counted. */
const MAX_LISTED = 100

export async function bulkWrite<T extends Document>(
  { host }: Scope,
  collection: Collection<T>,
  writes: readonly AnyBulkWriteOperation<T>[],
  options: BulkWriteOptions,
): Promise<BulkWriteResult> {
  checkWrites(writes)
  try {
    return await collection.bulkWrite(writes, options)
  } catch (error) {
    const failed = partsOf(error)
    if (failed === undefined) throw error
    const { component } = host
    const first = failed[0]!
    const what = `bulkWrite of ${collection.collectionName}: ${failed.length} of ${writes.length} failed, the first`
    const { code, message, retryable, details, hint } = writeError(first, {
      component,
      what,
      repeatable: false,
    })
    const { result } = error as MongoBulkWriteError
    throw new SluiceError(code, message, {
      retryable,
      ...(hint !== undefined && { hint }),
      details: {
        ...details,
        failed: failed.slice(0, MAX_LISTED).map(({ index, code: reply }) => ({ index, reply })),
        failedCount: failed.length,
        insertedCount: result.insertedCount,
        modifiedCount: result.modifiedCount,
        upsertedCount: result.upsertedCount,
        deletedCount: result.deletedCount,
      },
    })
  }
}

/** What failed by itself; undefined where the whole did. */
export function partsOf(error: unknown): readonly WriteError[] | undefined {
  if (!(error instanceof Error) || error.name !== 'MongoBulkWriteError') return undefined
  const { writeErrors } = error as MongoBulkWriteError
  const list = Array.isArray(writeErrors) ? writeErrors : [writeErrors]
  return list.length === 0 ? undefined : list
}

export function bulkOptions(options: BatchOptions | undefined): BulkWriteOptions {
  return { ordered: false, ...driverOptions(options) } as BulkWriteOptions
}

export function checkWrites(writes: readonly unknown[]): void {
  if (!Array.isArray(writes)) throw invalidArgument('writes', 'a list', typeof writes)
  if (writes.length === 0 || writes.length > MAX_WRITES)
    throw invalidArgument('writes', `1 to ${MAX_WRITES} of them`, writes.length)
}
