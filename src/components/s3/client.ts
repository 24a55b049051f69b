/** Builds what services are handed: arguments checked, each call an operation on the store. */
import type { ComponentBase, ComponentContext } from '../../app/component.ts'
import { AsyncResult } from '../../core/async-result.ts'
import { BatchResult } from '../../core/batch-result.ts'
import { durationMs } from '../../core/duration.ts'
import { hasCode, invalidArgument, isSluiceError, type SluiceError } from '../../core/errors.ts'
import type { CallOptions, Operations, OperationSpec } from '../../telemetry/operate.ts'
import type { ListOptions, PresignedUrl, PresignGetOptions, PresignPutOptions, S3 } from './api.ts'
import { checkAttributes, checkHeader, hasAttributes } from './attributes.ts'
import type { Downloads } from './downloads.ts'
import type { Keys } from './keys.ts'
import { Listing } from './listing.ts'
import type { S3Config } from './section.ts'
import type { ObjectStore, PageRequest } from './store.ts'
import { sizedTimeoutMs } from './timeouts.ts'
import { inTurns } from './turns.ts'
import type { Uploads } from './uploads.ts'

const operation = (name: string, idempotent: boolean): OperationSpec => Object.freeze({ name, idempotent })
const HEAD = operation('head', true)
const LIST = operation('list', true)
const DELETE = operation('delete', true)
const DELETE_MANY = operation('deleteMany', true)
const COPY = operation('copy', true)
const PRESIGN = operation('presign', true)
const SWEEP = operation('sweep', true)

/** More in one go is a defect, or work for several batches. */
const MAX_BATCH = 100_000
const DELETE_GROUP = 1_000
const MAX_PAGE = 1_000
const MAX_EXPIRY_MS = 7 * 86_400_000
const MAX_PUT_BYTES = 5 * 1024 ** 3

export interface ClientParts {
  readonly base: ComponentBase
  readonly context: ComponentContext<S3Config>
  readonly keys: Keys
  readonly store: ObjectStore
  readonly operations: Operations
  readonly uploads: Uploads
  readonly downloads: Downloads
}

export function createClient(parts: ClientParts): S3 {
  const { context, keys, store, operations, uploads, downloads } = parts
  const { config, clock } = context

  const presign = (
    method: 'GET' | 'PUT',
    key: string,
    options: PresignGetOptions & PresignPutOptions,
  ): AsyncResult<PresignedUrl> =>
    attempt(() => {
      const expiresMs = checkExpiry(options)
      const contentType = checkHeader('contentType', options.contentType)
      const contentDisposition = checkHeader('contentDisposition', options.contentDisposition)
      const size = checkPutSize(options.size)
      const stored = keys.toStored(key)
      const expiresInSeconds = Math.floor(expiresMs / 1_000)
      const expiresAt = new Date(Math.floor(clock.now() / 1_000) * 1_000 + expiresInSeconds * 1_000)
      return operations.run(
        PRESIGN,
        async (call) => {
          const request = {
            method,
            key: stored,
            expiresAt,
            expiresInSeconds,
            contentType,
            contentDisposition,
            size,
          }
          return { ...(await store.presign(request, call.signal)), method, expiresAt }
        },
        options,
      )
    })

  /** What is wrong with a key is the result of that key. */
  const removeGroup = async (list: readonly string[], options: CallOptions): Promise<Results> => {
    const checked = list.map((key) => tryTo(() => keys.toStored(key)))
    const group = checked.filter((each) => typeof each === 'string')
    let answers: Results
    try {
      answers =
        group.length === 0
          ? []
          : await operations.run(DELETE_MANY, (call) => store.removeMany(group, call.signal), options)
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isSluiceError(error)) throw error
      // What was refused as a whole failed for each; the groups before it are gone all the same.
      answers = group.map(() => error)
    }
    let next = 0
    return checked.map((each) => (typeof each === 'string' ? answers[next++] : each))
  }

  const removeGroups = (list: readonly string[], options: CallOptions): AsyncResult<Results> =>
    AsyncResult.start(
      `${context.name}: deleteMany`,
      async ({ signal }) => {
        const results: (undefined | SluiceError)[] = []
        for (let at = 0; at < list.length; at += DELETE_GROUP) {
          results.push(...(await removeGroup(list.slice(at, at + DELETE_GROUP), { ...options, signal })))
        }
        return results
      },
      { signal: options.signal },
    )

  return {
    ...parts.base,
    upload: (key, body, options) => uploads.upload(keys, key, body, options),
    uploadBatch: (objects, options = {}) => {
      const list = tryTo(() => checkBatch(objects))
      if (isSluiceError(list)) return BatchResult.ofWhole(AsyncResult.reject(list), objects.length)
      return BatchResult.of(
        inTurns(`${context.name}: upload`, list, config.maxRequests, ({ key, body, ...attributes }) =>
          uploads.upload(keys, key, body, { ...attributes, ...options }),
        ),
      )
    },
    download: (key, options) => downloads.download(keys, key, options),
    head: (key, options) =>
      attempt(() => {
        const stored = keys.toStored(key)
        return operations.run(
          HEAD,
          async (call) => ({ ...(await store.head(stored, call.signal)), key }),
          options,
        )
      }),
    exists: (key, options) =>
      attempt(() => {
        const stored = keys.toStored(key)
        return operations.run(
          HEAD,
          (call) =>
            store.head(stored, call.signal).then(
              () => true,
              (error: unknown) => {
                if (hasCode(error, 'SLUICE_NOT_FOUND')) return false
                throw error
              },
            ),
          options,
        )
      }),
    list: (options = {}) => {
      const request = checkList(options, keys)
      return new Listing((token) =>
        operations.run(
          LIST,
          async (call) => {
            const page = await store.page({ ...request, token }, call.signal)
            return {
              objects: page.objects.map((each) => ({ ...each, key: keys.fromStored(each.key) })),
              prefixes: page.prefixes.map((each) => keys.fromStored(each)),
              token: page.token,
            }
          },
          options,
        ),
      )
    },
    delete: (key, options) =>
      attempt(() => {
        const stored = keys.toStored(key)
        return operations.run(DELETE, (call) => store.remove(stored, call.signal), options)
      }),
    deleteMany: (list, options = {}) => {
      const whole = attempt(() => removeGroups(checkBatch(list), options))
      return BatchResult.ofWhole<void>(whole as AsyncResult<readonly (void | SluiceError)[]>, list.length)
    },
    copy: (from, to, options = {}) =>
      attempt(() => {
        const [source, target] = [keys.toStored(from, 'from'), keys.toStored(to, 'to')]
        const attributes = hasAttributes(options) ? checkAttributes(options) : undefined
        // The service moves the bytes, and says nothing meanwhile: as long as for a large part.
        const timeout = options.timeout ?? sizedTimeoutMs(config.requestTimeout, config.partSize)
        return operations.run(
          COPY,
          async (call) => ({ ...(await store.copy(source, target, attributes, call.signal)), key: to }),
          { ...options, timeout },
        )
      }),
    presignGet: (key, options = {}) => presign('GET', key, options),
    presignPut: (key, options = {}) => presign('PUT', key, options),
    sweep: (options = {}) =>
      attempt(() => {
        const olderThanMs = durationMs(options.olderThan ?? '24h', 'olderThan')
        return operations.run(
          SWEEP,
          (call) => store.sweep(olderThanMs, keys.toStoredPrefix(''), call.signal),
          options,
        )
      }),
  }
}

type Results = readonly (undefined | SluiceError)[]

function attempt<T>(start: () => AsyncResult<T>): AsyncResult<T> {
  try {
    return start()
  } catch (error) {
    return AsyncResult.reject<T>(error)
  }
}

function tryTo<T>(check: () => T): T | SluiceError {
  try {
    return check()
  } catch (error) {
    if (isSluiceError(error)) return error
    throw error
  }
}

function checkBatch<Item>(items: readonly Item[]): readonly Item[] {
  if (!Array.isArray(items)) throw invalidArgument('a batch', 'a list', typeof items)
  if (items.length > MAX_BATCH) throw invalidArgument('a batch', `at most ${MAX_BATCH} parts`, items.length)
  return items
}

function checkList(options: ListOptions, keys: Keys): Omit<PageRequest, 'token'> {
  const { pageSize = MAX_PAGE, delimiter, prefix = '', after } = options
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > MAX_PAGE)
    throw invalidArgument('pageSize', `a whole number from 1 to ${MAX_PAGE}`, pageSize)
  if (delimiter !== undefined && delimiter !== '/') throw invalidArgument('delimiter', "'/'", delimiter)
  return {
    prefix: keys.toStoredPrefix(prefix),
    delimiter,
    after: after === undefined ? undefined : keys.toStoredPrefix(after),
    limit: pageSize,
  }
}

function checkExpiry({ expiresIn = '15m' }: PresignGetOptions): number {
  const ms = durationMs(expiresIn, 'expiresIn')
  if (ms >= 1_000 && ms <= MAX_EXPIRY_MS) return ms
  throw invalidArgument('expiresIn', "a duration from '1s' to '7d'", expiresIn)
}

function checkPutSize(size: number | undefined): number | undefined {
  if (size === undefined || (Number.isInteger(size) && size >= 0 && size <= MAX_PUT_BYTES)) return size
  throw invalidArgument('size', 'a whole number of bytes, 5 GB at most', size)
}
