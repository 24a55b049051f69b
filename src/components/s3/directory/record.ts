/** The attributes of an object in a directory, as JSON. */
import { SluiceError } from '../../../core/errors.ts'
import type { ObjectInfo } from '../object.ts'
import type { Attributes } from '../store.ts'
import { isId } from './layout.ts'

export interface ObjectRecord {
  readonly key: string
  /** Of the file with the bytes. */
  readonly data: string
  readonly size: number
  readonly etag: string
  readonly modified: number
  readonly attributes: Attributes
}

export function writeRecord(record: ObjectRecord): string {
  const { attributes, ...rest } = record
  return `${JSON.stringify({ version: 1, ...rest, ...attributes }, null, 2)}\n`
}

/** `path` is for the message. @throws SluiceError SLUICE_STORE_CORRUPT */
export function readRecord(text: string, path: string): ObjectRecord {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw corrupt(path, error)
  }
  const record = (parsed ?? {}) as Partial<ObjectRecord & Attributes>
  const { key, data, size, etag, modified, contentType, cacheControl, contentDisposition, metadata } = record
  const isText = (value: unknown): value is string => typeof value === 'string'
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
  if (
    !isText(key) ||
    !isId(data) ||
    !isCount(size) ||
    !isText(etag) ||
    !isCount(modified) ||
    !isText(contentType)
  )
    throw corrupt(path)
  return {
    key,
    data,
    size,
    etag,
    modified,
    attributes: {
      contentType,
      cacheControl: isText(cacheControl) ? cacheControl : undefined,
      contentDisposition: isText(contentDisposition) ? contentDisposition : undefined,
      metadata: Object.fromEntries(Object.entries(metadata ?? {}).filter(([, value]) => isText(value))),
    },
  }
}

export function infoOf({ key, size, etag, modified, attributes }: ObjectRecord): ObjectInfo {
  return { key, size, etag, lastModified: new Date(modified), ...attributes }
}

function corrupt(path: string, cause?: unknown): SluiceError {
  return new SluiceError('SLUICE_STORE_CORRUPT', `${path} is not what was written there`, {
    cause,
    hint: 'Restore the file, or delete it and what lies beside it under the same name.',
  })
}
