/** What is said of objects. */

export interface Progress {
  /** Bytes that the store has taken. */
  readonly bytes: number
  /** Of all, where it is known. */
  readonly total: number | undefined
}

export interface StoredObject {
  readonly key: string
  readonly size: number
  readonly etag: string
}

export interface ObjectInfo {
  readonly key: string
  readonly size: number
  readonly etag: string
  readonly lastModified: Date
  readonly contentType: string
  readonly cacheControl: string | undefined
  readonly contentDisposition: string | undefined
  readonly metadata: Readonly<Record<string, string>>
}

export interface ListedObject {
  readonly key: string
  readonly size: number
  readonly etag: string
  readonly lastModified: Date
}

/** Bytes of an object: from `start`, to `end` inclusive; or the last so many. */
export type ByteRange = { readonly start: number; readonly end?: number } | { readonly last: number }

export interface ListPage {
  readonly objects: readonly ListedObject[]
  readonly prefixes: readonly string[]
}
