/** The requests of an upload in parts, each an operation by itself: a slot, a deadline for its bytes, retries. */
import type { ComponentContext } from '../../../app/component.ts'
import { hasCode, SluiceError } from '../../../core/errors.ts'
import type { Operations, OperationSpec } from '../../../telemetry/operate.ts'
import type { ObjectInfo, StoredObject } from '../object.ts'
import type { S3Config } from '../section.ts'
import type { Put } from '../store.ts'
import { sizedTimeoutMs } from '../timeouts.ts'
import { headersOf, plainEtag } from './answers.ts'
import type { Send } from './connection.ts'
import type { LeftBehind } from './left-behind.ts'
import type { MultipartRequests, SentPart, UploadId } from './multipart.ts'

const operation = (name: string): OperationSpec => Object.freeze({ name, idempotent: true })
const PUT_WHOLE = operation('upload')
const PUT_WHOLE_ONCE: OperationSpec = Object.freeze({ name: 'upload', idempotent: false })
const BEGIN = operation('beginParts')
const SEND_PART = operation('uploadPart')
const COMPLETE = operation('completeParts')

/** An abort of an upload is asked for so long at most; what comes of it then is for later. */
const CLEAN_UP_MS = 5_000

export interface MultipartRequestsParts {
  readonly context: ComponentContext<S3Config>
  readonly operations: Operations
  readonly send: Send
  readonly put: (put: Put, bytes: Uint8Array, signal: AbortSignal) => Promise<StoredObject>
  readonly head: (key: string, signal: AbortSignal) => Promise<ObjectInfo>
  /** False where the upload is not known any more. */
  readonly abort: (upload: UploadId, signal: AbortSignal) => Promise<boolean>
  readonly leftBehind: LeftBehind
}

export function multipartRequests(parts: MultipartRequestsParts): MultipartRequests {
  const { context, operations, send, put, head, abort, leftBehind } = parts
  const { config, name, log } = context
  const checksum = config.checksums === 'always' ? { ChecksumAlgorithm: 'CRC32' as const } : {}
  const timeoutFor = (bytes: number): number => sizedTimeoutMs(config.requestTimeout, bytes)

  return {
    putWhole: (transfer, bytes, signal) =>
      operations.run(
        transfer.ifAbsent ? PUT_WHOLE_ONCE : PUT_WHOLE,
        (call) => put(transfer, bytes, call.signal),
        { signal, timeout: timeoutFor(bytes.length) },
      ),
    begin: ({ key, attributes }) =>
      operations.run(BEGIN, async (call) => {
        const { UploadId: id } = await send<{ UploadId?: string }>(
          'begin of an upload in parts',
          (sdk, Bucket) =>
            new sdk.CreateMultipartUploadCommand({ Bucket, Key: key, ...headersOf(attributes), ...checksum }),
          call.signal,
        )
        if (id !== undefined) return id
        throw new SluiceError('SLUICE_UNAVAILABLE', `${name}: an upload in parts has no id`, {
          component: name,
        })
      }),
    sendPart: ({ key, id }, number, bytes, signal) =>
      operations.run(
        SEND_PART,
        async (call): Promise<SentPart> => {
          const { ETag = '', ChecksumCRC32 } = await send<{ ETag?: string; ChecksumCRC32?: string }>(
            `part ${number} of an upload`,
            (sdk, Bucket) =>
              new sdk.UploadPartCommand({
                Bucket,
                Key: key,
                UploadId: id,
                PartNumber: number,
                Body: bytes,
                ContentLength: bytes.length,
                ...checksum,
              }),
            call.signal,
          )
          return { number, etag: ETag, checksum: ChecksumCRC32 }
        },
        { signal, timeout: timeoutFor(bytes.length) },
      ),
    complete: ({ key, id }, sent, { ifAbsent, partSize }, signal) =>
      operations.run(
        COMPLETE,
        async (call) => {
          const Parts = sent.map(({ number, etag, checksum: ChecksumCRC32 }) => ({
            PartNumber: number,
            ETag: etag,
            ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }),
          }))
          const { ETag } = await send<{ ETag?: string }>(
            'completion of an upload',
            (sdk, Bucket) =>
              new sdk.CompleteMultipartUploadCommand({
                Bucket,
                Key: key,
                UploadId: id,
                MultipartUpload: { Parts },
                ...(ifAbsent && { IfNoneMatch: '*' }),
              }),
            call.signal,
          )
          return plainEtag(ETag)
        },
        // The service puts the parts together, and may take its time.
        { signal, timeout: timeoutFor(partSize) },
      ),
    etag: async (key, signal) => {
      try {
        return (await head(key, signal)).etag
      } catch (error) {
        if (hasCode(error, 'SLUICE_NOT_FOUND')) return undefined
        throw error
      }
    },
    discard: async (upload) => {
      try {
        return await abort(upload, AbortSignal.timeout(CLEAN_UP_MS))
      } catch (error) {
        leftBehind.add(upload)
        log.warn(
          { err: error },
          `${name}: an upload could not be aborted; its parts stay until the service is back`,
        )
        return true
      }
    },
  }
}
