/**
 * What is behind the API: S3, or a directory. Keys are the stored ones, checked and with the prefix; errors are ours.
 * Every method that waits ends soon after its signal aborts.
 */
import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { SluiceError } from '../../core/errors.ts'
import type { ByteRange, ListedObject, ObjectInfo, Progress, StoredObject } from './object.ts'

/** What is kept with an object, checked. */
export interface Attributes {
  readonly contentType: string
  readonly cacheControl: string | undefined
  readonly contentDisposition: string | undefined
  readonly metadata: Readonly<Record<string, string>>
}

export interface Put {
  readonly key: string
  readonly attributes: Attributes
  readonly ifAbsent: boolean
}

export interface StoppableSource extends AsyncIterator<Uint8Array> {
  /** Ends the stream; a wait for it rejects with `reason`. */
  stop(reason: unknown): void
}

/** An upload of a stream. */
export interface Transfer extends Put {
  readonly source: StoppableSource
  readonly size: number | undefined
  readonly partSize: number
  readonly partConcurrency: number
  readonly onProgress: (progress: Progress) => void
}

/** An object that is open: `body` gives `length` bytes, from `offset` on. */
export interface Opened {
  readonly info: ObjectInfo
  readonly offset: number
  readonly length: number
  readonly body: Readable
  /** Ends what is behind a body that was not read to its end. */
  readonly cut: () => void
}

export interface PageRequest {
  readonly prefix: string
  readonly delimiter: '/' | undefined
  /** Keys behind this one. */
  readonly after: string | undefined
  /** Of the page before; wins over `after`. */
  readonly token: string | undefined
  readonly limit: number
}

export interface Page {
  readonly objects: readonly ListedObject[]
  readonly prefixes: readonly string[]
  /** Of the next page; undefined when this was the last. */
  readonly token: string | undefined
}

export interface PresignRequest {
  readonly method: 'GET' | 'PUT'
  readonly key: string
  readonly expiresAt: Date
  readonly expiresInSeconds: number
  readonly contentType: string | undefined
  readonly contentDisposition: string | undefined
  readonly size: number | undefined
}

export interface Presigned {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
}

export interface ObjectStore {
  readonly kind: 's3' | 'directory'
  open(signal: AbortSignal): Promise<void>
  check(signal: AbortSignal): Promise<void>
  close(signal: AbortSignal): Promise<void>
  put(put: Put, bytes: Uint8Array, signal: AbortSignal): Promise<StoredObject>
  /** Cleans up after itself when it fails. */
  transfer(transfer: Transfer, signal: AbortSignal): Promise<StoredObject>
  get(key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<Opened>
  head(key: string, signal: AbortSignal): Promise<ObjectInfo>
  page(request: PageRequest, signal: AbortSignal): Promise<Page>
  remove(key: string, signal: AbortSignal): Promise<void>
  /** Up to 1000; an error for each key that failed. */
  removeMany(keys: readonly string[], signal: AbortSignal): Promise<readonly (SluiceError | undefined)[]>
  /** `attributes`: undefined to keep those of the source. */
  copy(
    from: string,
    to: string,
    attributes: Attributes | undefined,
    signal: AbortSignal,
  ): Promise<StoredObject>
  presign(request: PresignRequest, signal: AbortSignal): Promise<Presigned>
  sweep(olderThanMs: number, prefix: string, signal: AbortSignal): Promise<number>
  /** What the source of a body failed with, as an error of ours. */
  bodyError(thrown: unknown): Error
  /** Routes on the app's HTTP server, where URLs of this store lead there. */
  routes?(http: FastifyInstance): void
  inspect(): Readonly<Record<string, unknown>>
}
