/** What services are handed for an `s3()` component. The same on S3 and over files in a directory. */
import type { ComponentBase } from '../../app/component.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { BatchResult } from '../../core/batch-result.ts'
import type { Duration } from '../../core/duration.ts'
import type { CallOptions } from '../../telemetry/operate.ts'
import type { Download } from './download.ts'
import type { Listing } from './listing.ts'
import type { ByteRange, ObjectInfo, Progress, StoredObject } from './object.ts'

/** What may be stored: text as UTF-8, bytes, or a stream of either, of any length. */
export type ObjectBody = string | Uint8Array | AsyncIterable<string | Uint8Array>

/** What is kept with an object. */
export interface AttributeOptions {
  /** @default 'application/octet-stream' */
  readonly contentType?: string
  readonly cacheControl?: string
  /** Such as `attachment; filename="a.pdf"`: what browsers do with it. */
  readonly contentDisposition?: string
  /** Names are lower-cased by the service; names and values are ASCII, 2 KB together at most. */
  readonly metadata?: Readonly<Record<string, string>>
}

export interface UploadOptions extends CallOptions, AttributeOptions {
  /** Refuse with SLUICE_CONFLICT where the key is taken. @default false */
  readonly ifAbsent?: boolean
  /** Bytes of a stream, where they are known: parts are made large enough, and another length is refused. */
  readonly size?: number
  /** Called when parts were taken. What it throws is ignored. */
  readonly onProgress?: (progress: Progress) => void
  /** Of this upload. @default the component's */
  readonly partSize?: number | string
  /** Of this upload. @default the component's */
  readonly partConcurrency?: number
  /** A stream that gives nothing for so long is given up. @default the component's */
  readonly idleTimeout?: Duration
}

export interface DownloadOptions extends CallOptions {
  /** @default all of it */
  readonly range?: ByteRange
  /** A body of which nothing is read, or nothing comes, for so long is destroyed. @default the component's */
  readonly idleTimeout?: Duration
}

export interface ListOptions extends CallOptions {
  /** Keys that begin with it. @default all */
  readonly prefix?: string
  /** Keys that go on with this after the prefix are given as one prefix each, in `pages()`. @default none */
  readonly delimiter?: '/'
  /** Only keys behind this one. */
  readonly after?: string
  /** Objects of one page, which is one request; 1 to 1000. @default 1000 */
  readonly pageSize?: number
}

export interface CopyOptions extends CallOptions, AttributeOptions {}

export interface PresignOptions extends CallOptions {
  /** How long the URL works: from a second to a week. @default '15m' */
  readonly expiresIn?: Duration
}

export interface PresignGetOptions extends PresignOptions {
  /** What the answer says, in place of what is stored. */
  readonly contentType?: string
  readonly contentDisposition?: string
}

export interface PresignPutOptions extends PresignOptions {
  /** What must be sent as content-type. @default anything */
  readonly contentType?: string
  /** How many bytes must be sent, exactly. @default any number */
  readonly size?: number
}

export interface PresignedUrl {
  readonly url: string
  readonly method: 'GET' | 'PUT'
  /** What must be sent with it. Browsers send content-length by themselves. */
  readonly headers: Readonly<Record<string, string>>
  readonly expiresAt: Date
}

export interface BatchUpload extends AttributeOptions {
  readonly key: string
  readonly body: ObjectBody
}

export interface SweepOptions extends CallOptions {
  /** Only uploads that were begun longer ago. @default '24h' */
  readonly olderThan?: Duration
}

export interface S3 extends ComponentBase {
  /**
   * Stores an object. Nothing is visible before all of it is stored. A stream is read as fast as it is sent, with
   * `partConcurrency + 1` parts in memory; it is ours from here on, and destroyed when the upload fails.
   */
  upload(key: string, body: ObjectBody, options?: UploadOptions): AsyncResult<StoredObject>
  /** Many at once, each for itself: a result for each, at its index. */
  uploadBatch(objects: readonly BatchUpload[], options?: CallOptions): BatchResult<StoredObject>
  /** Resolves when the first bytes may be read. The body must be read or destroyed; `await using` does. */
  download(key: string, options?: DownloadOptions): AsyncResult<Download>
  /** What is known of an object. Rejects with SLUICE_NOT_FOUND where there is none. */
  head(key: string, options?: CallOptions): AsyncResult<ObjectInfo>
  exists(key: string, options?: CallOptions): AsyncResult<boolean>
  /** Objects in the order of their keys (as UTF-8), page by page as they are asked for. */
  list(options?: ListOptions): Listing
  /** A key that is not there is no error. */
  delete(key: string, options?: CallOptions): AsyncResult<void>
  /** In requests of 1000, with a result for each key. */
  deleteMany(keys: readonly string[], options?: CallOptions): BatchResult<void>
  /** Up to 5 GB. Attributes are copied, unless some are given: then those replace all. */
  copy(from: string, to: string, options?: CopyOptions): AsyncResult<StoredObject>
  /** A URL by which anybody may read the object until it expires. */
  presignGet(key: string, options?: PresignGetOptions): AsyncResult<PresignedUrl>
  /** A URL by which anybody may store the object until it expires. */
  presignPut(key: string, options?: PresignPutOptions): AsyncResult<PresignedUrl>
  /** Aborts uploads that a killed process left half done. Resolves with how many. */
  sweep(options?: SweepOptions): AsyncResult<number>
}
