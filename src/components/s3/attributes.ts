/** What is kept with an object, checked: it all travels as headers, where a line break would begin another one. */
import { invalidArgument } from '../../core/errors.ts'
import type { AttributeOptions } from './api.ts'
import type { Attributes } from './store.ts'

export const DEFAULT_TYPE = 'application/octet-stream'

const MAX_METADATA_BYTES = 2_048
const MAX_HEADER = 1_024
const PRINTABLE = /^[\x20-\x7e]+$/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** @throws SluiceError SLUICE_INVALID_ARGUMENT */
export function checkAttributes(options: AttributeOptions): Attributes {
  return {
    contentType: checkHeader('contentType', options.contentType) ?? DEFAULT_TYPE,
    cacheControl: checkHeader('cacheControl', options.cacheControl),
    contentDisposition: checkHeader('contentDisposition', options.contentDisposition),
    metadata: checkMetadata(options.metadata ?? {}),
  }
}

export function hasAttributes(options: AttributeOptions): boolean {
  const { contentType, cacheControl, contentDisposition, metadata } = options
  return [contentType, cacheControl, contentDisposition, metadata].some((one) => one !== undefined)
}

/** @throws SluiceError SLUICE_INVALID_ARGUMENT */
export function checkHeader(option: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string' && PRINTABLE.test(value) && value.length <= MAX_HEADER) return value
  throw invalidArgument(option, `up to ${MAX_HEADER} printable ASCII characters`, shorten(value))
}

function checkMetadata(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const checked = Object.create(null) as Record<string, string>
  let bytes = 0
  for (const [name, value] of Object.entries(metadata)) {
    if (!TOKEN.test(name))
      throw invalidArgument('metadata', 'names that may be part of a header', shorten(name))
    // Spaces at either end would be lost on the way.
    if (typeof value !== 'string' || (value !== '' && !PRINTABLE.test(value)) || value.trim() !== value)
      throw invalidArgument(
        `metadata.${name}`,
        'printable ASCII text without spaces around it; encode anything else',
        typeof value,
      )
    const lower = name.toLowerCase()
    if (lower in checked) throw invalidArgument('metadata', 'names that differ in more than their case', name)
    checked[lower] = value
    bytes += name.length + value.length
  }
  if (bytes > MAX_METADATA_BYTES)
    throw invalidArgument('metadata', `at most ${MAX_METADATA_BYTES} bytes of names and values`, bytes)
  return checked
}

function shorten(value: unknown): unknown {
  return typeof value === 'string' && value.length > 60 ? `${value.slice(0, 60)}…` : value
}
