import { invalidArgument } from '../../../core/errors.ts'

/** Throws SLUICE_INVALID_ARGUMENT, which names `what`. */
export function bytesOf(what: string, value: unknown): Buffer {
  if (typeof value === 'string') return Buffer.from(value)
  if (Buffer.isBuffer(value)) return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw invalidArgument(what, 'text or bytes', typeof value)
}
