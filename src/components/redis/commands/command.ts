/** What the definitions of commands are made of: their arguments on the way out, their replies on the way in. */
import { durationMs, type Duration } from '../../../core/duration.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { OperationSpec } from '../../../telemetry/operate.ts'
import type { Argument, Reply } from '../backend.ts'

export type { Command } from '../backend.ts'

/** What may be stored: text as UTF-8, numbers as text, bytes as they are. */
export type RedisValue = string | number | Uint8Array

/** Turns the caller's key into the one on the server. */
export type KeyMapper = (key: string) => string

export function keyMapper(prefix: string): KeyMapper {
  return (key) => {
    if (typeof key !== 'string')
      throw invalid(`key: expected text, got ${key === null ? 'null' : typeof key}`)
    return prefix + key
  }
}

export const defineOperation = (name: string, idempotent: boolean): OperationSpec =>
  Object.freeze({ name, idempotent })

export const asNumber = (reply: Reply): number => Number(reply)
export const asBoolean = (reply: Reply): boolean => reply !== 0
export const asText = (reply: Reply): string | null => reply as string | null
export const asTexts = (reply: Reply): readonly string[] => reply as readonly string[]
export const asNothing = (): void => undefined
export const asNumberOrNull = (reply: Reply): number | null => (reply === null ? null : parseDouble(reply))

/** `[field, value, field, value]` as a record without a prototype, so that a field may have any name. */
export function asRecord(reply: Reply): Record<string, string> {
  const flat = reply as readonly string[]
  const record = Object.create(null) as Record<string, string>
  for (let at = 0; at < flat.length; at += 2) record[flat[at] as string] = flat[at + 1] as string
  return record
}

export function parseDouble(reply: Reply): number {
  if (reply === 'inf') return Infinity
  if (reply === '-inf') return -Infinity
  return Number(reply)
}

export function toArgument(value: RedisValue, what: string): Argument {
  if (typeof value === 'string') return value
  if (typeof value === 'number') return toNumber(value, what)
  if (Buffer.isBuffer(value)) return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw invalid(`${what}: expected text, a number or bytes, got ${value === null ? 'null' : typeof value}`)
}

export function toNumber(value: number, what: string): string {
  if (Number.isNaN(value)) throw invalid(`${what}: expected a number, got NaN`)
  if (value === Infinity) return 'inf'
  return value === -Infinity ? '-inf' : String(value)
}

export function toInteger(value: number, what: string): string {
  if (!Number.isSafeInteger(value)) throw invalid(`${what}: expected a whole number, got ${String(value)}`)
  return String(value)
}

/** Whole milliseconds of a time to live: at least one, as the server takes no zero. */
export function ttlMs(ttl: Duration, what: string): number {
  const ms = Math.round(durationMs(ttl, what))
  if (ms < 1) throw invalid(`${what}: expected at least one millisecond, got ${JSON.stringify(ttl)}`)
  return ms
}

export function invalid(message: string): SluiceError {
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `redis: ${message}`)
}
