/** What S3 says of objects, as we say it, and the other way round. */
import type { ByteRange, ObjectInfo } from '../object.ts'
import { DEFAULT_TYPE } from '../attributes.ts'
import type { Attributes, Page } from '../store.ts'

/** The answer to a head or a get. */
export interface Described {
  readonly ContentLength?: number
  readonly ContentRange?: string
  readonly ETag?: string
  readonly LastModified?: Date
  readonly ContentType?: string
  readonly CacheControl?: string
  readonly ContentDisposition?: string
  readonly Metadata?: Record<string, string>
}

export interface Listed {
  readonly Contents?: { Key?: string; Size?: number; ETag?: string; LastModified?: Date }[]
  readonly CommonPrefixes?: { Prefix?: string }[]
  readonly IsTruncated?: boolean
  readonly NextContinuationToken?: string
}

export function rangeHeader(range: ByteRange | undefined): string | undefined {
  if (range === undefined) return undefined
  return 'last' in range ? `bytes=-${range.last}` : `bytes=${range.start}-${range.end ?? ''}`
}

/** `bytes 5-9/100`; without it, all of the object. */
export function spanOf({ ContentRange, ContentLength = 0 }: Described): {
  readonly offset: number
  readonly length: number
  readonly size: number
} {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(ContentRange ?? '')
  if (match === null) return { offset: 0, length: ContentLength, size: ContentLength }
  const [from, to, size] = match.slice(1).map(Number) as [number, number, number]
  return { offset: from, length: to - from + 1, size }
}

export function infoOf(key: string, answer: Described): ObjectInfo {
  return {
    key,
    size: answer.ContentLength ?? 0,
    etag: plainEtag(answer.ETag),
    lastModified: answer.LastModified ?? new Date(0),
    contentType: answer.ContentType ?? DEFAULT_TYPE,
    cacheControl: answer.CacheControl,
    contentDisposition: answer.ContentDisposition,
    metadata: answer.Metadata ?? {},
  }
}

export function headersOf(attributes: Attributes): object {
  const { contentType, cacheControl, contentDisposition, metadata } = attributes
  return {
    ContentType: contentType,
    Metadata: metadata,
    ...(cacheControl === undefined ? {} : { CacheControl: cacheControl }),
    ...(contentDisposition === undefined ? {} : { ContentDisposition: contentDisposition }),
  }
}

/** Without the quotes that belong to the header. */
export function plainEtag(etag: string | undefined): string {
  return (etag ?? '').replaceAll('"', '')
}

export function pageOf(page: Listed): Page {
  return {
    objects: (page.Contents ?? []).map((each) => ({
      key: each.Key ?? '',
      size: each.Size ?? 0,
      etag: plainEtag(each.ETag),
      lastModified: each.LastModified ?? new Date(0),
    })),
    prefixes: (page.CommonPrefixes ?? []).map((each) => each.Prefix ?? ''),
    token: page.IsTruncated === true ? page.NextContinuationToken : undefined,
  }
}
