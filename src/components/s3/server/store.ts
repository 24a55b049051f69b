/** The store on S3, and on what speaks its protocol. Each method is one request, but `transfer`, `copy` and `sweep`. */
import type { ComponentContext } from '../../../app/component.ts'
import { waitOrAbort } from '../../../core/abort.ts'
import { hasCode, isSluiceError, SluiceError } from '../../../core/errors.ts'
import type { Operations } from '../../../telemetry/operate.ts'
import type { ObjectInfo, StoredObject } from '../object.ts'
import type { S3Config } from '../section.ts'
import type { ObjectStore, Put } from '../store.ts'
import { headersOf, infoOf, pageOf, plainEtag, type Described, type Listed } from './answers.ts'
import { openBucket } from './bucket.ts'
import { connect, endpointOf, type Connection, type Send } from './connection.ts'
import { sdkError } from './errors.ts'
import { openObject } from './get.ts'
import { LeftBehind } from './left-behind.ts'
import { multipartRequests } from './multipart-requests.ts'
import { sendInParts, type UploadId } from './multipart.ts'
import { loadSdk } from './peer.ts'
import { presign } from './presign.ts'
import { sweepUploads } from './sweep.ts'

export interface S3StoreParts {
  readonly context: ComponentContext<S3Config>
  /** One request each. */
  readonly operations: Operations
}

interface DeleteAnswer {
  readonly Errors?: readonly { readonly Key?: string; readonly Code?: string; readonly Message?: string }[]
}

export function createS3Store({ context, operations }: S3StoreParts): ObjectStore {
  const { config, name } = context
  let connection: Connection | undefined

  const connected = (): Connection => {
    if (connection !== undefined) return connection
    throw new SluiceError('SLUICE_CLOSED', `${name} was closed`, { component: name })
  }

  const send: Send = async <Output>(
    what: string,
    command: Parameters<Send>[1],
    signal: AbortSignal,
  ): Promise<Output> => {
    const { client, module, bucket } = connected()
    try {
      return (await client.send(command(module, bucket) as never, { abortSignal: signal })) as Output
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw sdkError(name, what, error)
    }
  }

  const abortUpload = async ({ key, id }: UploadId, signal: AbortSignal): Promise<boolean> => {
    try {
      await send(
        'abort of an upload',
        (sdk, Bucket) => new sdk.AbortMultipartUploadCommand({ Bucket, Key: key, UploadId: id }),
        signal,
      )
      return true
    } catch (error) {
      if (hasCode(error, 'SLUICE_CONFLICT') || hasCode(error, 'SLUICE_NOT_FOUND')) return false
      throw error
    }
  }

  const head = async (key: string, signal: AbortSignal): Promise<ObjectInfo> =>
    infoOf(
      key,
      await send<Described>('head', (sdk, Bucket) => new sdk.HeadObjectCommand({ Bucket, Key: key }), signal),
    )

  const put = async (
    { key, attributes, ifAbsent }: Put,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<StoredObject> => {
    const sent = send<{ ETag?: string }>(
      'upload',
      (sdk, Bucket) =>
        new sdk.PutObjectCommand({
          Bucket,
          Key: key,
          Body: bytes,
          ContentLength: bytes.length,
          ...headersOf(attributes),
          ...(ifAbsent && { IfNoneMatch: '*' }),
        }),
      signal,
    )
    const { ETag } = await (ifAbsent ? sent.catch((error: unknown) => throwUnknown(name, error)) : sent)
    return { key, size: bytes.length, etag: plainEtag(ETag) }
  }

  const check = async (signal: AbortSignal): Promise<void> => {
    const Prefix = config.keyPrefix
    await send(
      'look into the bucket',
      (sdk, Bucket) => new sdk.ListObjectsV2Command({ Bucket, MaxKeys: 1, ...(Prefix && { Prefix }) }),
      signal,
    )
  }

  const leftBehind = new LeftBehind(abortUpload)
  const requests = multipartRequests({ context, operations, send, put, head, abort: abortUpload, leftBehind })

  return {
    kind: 's3',
    async open(signal) {
      signal.throwIfAborted()
      const module = await waitOrAbort(loadSdk(), signal)
      connection?.close()
      connection = connect(module, context)
      try {
        await openBucket(check, send, config, signal)
      } catch (error) {
        connection.close()
        connection = undefined
        throw error
      }
    },
    async check(signal) {
      await check(signal)
      await leftBehind.clear(signal)
    },
    async close(signal) {
      if (connection === undefined) return
      await leftBehind.clear(signal)
      connection.close()
      connection = undefined
    },
    put,
    transfer: (transfer, signal) => sendInParts(requests, transfer, signal),
    get: (key, range, signal) => openObject(key, range, signal, send),
    head,
    bodyError: (thrown) => sdkError(name, 'download', thrown),
    async page({ prefix, delimiter, after, token, limit }, signal) {
      const page = await send<Listed>(
        'list',
        (sdk, Bucket) =>
          new sdk.ListObjectsV2Command({
            Bucket,
            MaxKeys: limit,
            ...(prefix !== '' && { Prefix: prefix }),
            ...(delimiter !== undefined && { Delimiter: delimiter }),
            ...(token !== undefined && { ContinuationToken: token }),
            ...(token === undefined && after !== undefined && { StartAfter: after }),
          }),
        signal,
      )
      return pageOf(page)
    },
    async remove(key, signal) {
      await send('delete', (sdk, Bucket) => new sdk.DeleteObjectCommand({ Bucket, Key: key }), signal)
    },
    async removeMany(keys, signal) {
      const Objects = keys.map((Key) => ({ Key }))
      const { Errors = [] } = await send<DeleteAnswer>(
        'delete of many',
        (sdk, Bucket) => new sdk.DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }),
        signal,
      )
      const failed = new Map(
        Errors.map(({ Key, Code = 'Unknown', Message = Code }) => [
          Key,
          sdkError(name, 'delete', Object.assign(new Error(Message), { Code })),
        ]),
      )
      return keys.map((key) => failed.get(key))
    },
    async copy(from, to, attributes, signal) {
      const { CopyObjectResult } = await send<{ CopyObjectResult?: { ETag?: string } }>(
        'copy',
        (sdk, Bucket) =>
          new sdk.CopyObjectCommand({
            Bucket,
            Key: to,
            CopySource: `${Bucket}/${from.split('/').map(encodeURIComponent).join('/')}`,
            ...(attributes !== undefined && { ...headersOf(attributes), MetadataDirective: 'REPLACE' }),
          }),
        signal,
      )
      const { size } = await head(to, signal)
      return { key: to, size, etag: plainEtag(CopyObjectResult?.ETag) }
    },
    presign: (request, signal) => waitOrAbort(presign(name, connected(), request), signal),
    sweep: (olderThanMs, prefix, signal) =>
      sweepUploads({ send, abort: abortUpload, now: () => context.clock.now() }, olderThanMs, prefix, signal),
    inspect: () => ({
      backend: 's3',
      endpoint: endpointOf(config) ?? 'aws',
      bucket: config.bucket ?? null,
      region: config.region,
      leftBehind: leftBehind.size,
    }),
  }
}

/** What may not be repeated and was lost on its way has an outcome that nobody knows. */
function throwUnknown(component: string, error: unknown): never {
  const { status, reply } = (isSluiceError(error) ? error.details : undefined) ?? {}
  const wasNeverSent = reply === 'ECONNREFUSED' || reply === 'ENOTFOUND' || reply === 'EAI_AGAIN'
  if (!hasCode(error, 'SLUICE_UNAVAILABLE') || status !== undefined || wasNeverSent) throw error
  throw new SluiceError('SLUICE_OUTCOME_UNKNOWN', `${error.message}; it may be stored`, {
    component,
    cause: error,
    hint: 'Look with head() whether the object is there.',
  })
}
