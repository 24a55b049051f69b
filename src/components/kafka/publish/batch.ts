/**
 * Messages of one partition as a record batch of version 2, the bytes that brokers store. The driver makes a buffer of each
 * part of a message and lists of these; of a message of 300 bytes with nine headers that was half of what a request cost.
 * Here they are written into one buffer.
 *
 *     offset 8, length 4, leader epoch 4, version 1, checksum 4 │ attributes 2, last offset 4, times 8 + 8, producer 8 + 2 + 4, count 4 │ records
 *                                                               └──────────────────── what the checksum is of ─────────────────────▶
 */
import type { RawRecord } from './record.ts'

export type Checksum = (bytes: Buffer) => number

const HEAD_BYTES = 61
const LENGTH_AT = 8
const VERSION_AT = 16
const CHECKSUM_AT = 17
const CHECKED_FROM = 21
const LAST_OFFSET_AT = 23
const FIRST_TIME_AT = 27
const LAST_TIME_AT = 35
const PRODUCER_AT = 43
const COUNT_AT = 57
const VERSION = 2
/** Below this a loop is quicker than a call. */
const SMALL = 24

/** `now`: milliseconds since 1970, of messages without a time. */
export function encodeBatch(records: readonly RawRecord[], now: bigint, checksum: Checksum): Buffer {
  const first = records[0]!.timestamp ?? now
  let last = first
  let size = HEAD_BYTES
  const sizes: number[] = []
  for (let index = 0; index < records.length; index++) {
    const record = records[index]!
    const time = record.timestamp ?? now
    if (time > last) last = time
    const bytes = sizeOf(record, index, time - first)
    sizes.push(bytes)
    size += sizeOfInt(bytes) + bytes
  }
  const target = Buffer.allocUnsafe(size)
  target.fill(0, 0, HEAD_BYTES)
  target.writeInt32BE(size - LENGTH_AT - 4, LENGTH_AT)
  target[VERSION_AT] = VERSION
  target.writeInt32BE(records.length - 1, LAST_OFFSET_AT)
  target.writeBigInt64BE(first, FIRST_TIME_AT)
  target.writeBigInt64BE(last, LAST_TIME_AT)
  target.writeBigInt64BE(-1n, PRODUCER_AT)
  target.writeInt32BE(records.length, COUNT_AT)
  let at = HEAD_BYTES
  for (let index = 0; index < records.length; index++) {
    const { key, value, headers, timestamp } = records[index]!
    at = putInt(target, at, sizes[index]!)
    target[at++] = 0
    at = putLong(target, at, (timestamp ?? now) - first)
    at = putInt(target, at, index)
    at = putBytes(target, at, key)
    at = putBytes(target, at, value)
    at = putInt(target, at, headers?.size ?? 0)
    if (headers === undefined) continue
    for (const [name, text] of headers) at = putBytes(target, putBytes(target, at, name), text)
  }
  target.writeUInt32BE(checksum(target.subarray(CHECKED_FROM)), CHECKSUM_AT)
  return target
}

/** Bytes of a record behind its length. */
function sizeOf({ key, value, headers }: RawRecord, index: number, delta: bigint): number {
  let bytes = 1 + sizeOfLong(delta) + sizeOfInt(index) + sizeOfBytes(key) + sizeOfBytes(value)
  bytes += sizeOfInt(headers?.size ?? 0)
  if (headers !== undefined)
    for (const [name, text] of headers) bytes += sizeOfBytes(name) + sizeOfBytes(text)
  return bytes
}

function sizeOfBytes(bytes: Buffer | undefined): number {
  return bytes === undefined ? 1 : sizeOfInt(bytes.length) + bytes.length
}

/** Of a length, a count or an offset: not negative, and doubled as the format's signed numbers are. */
function sizeOfInt(value: number): number {
  return value < 64 ? 1 : value < 8_192 ? 2 : value < 1_048_576 ? 3 : value < 134_217_728 ? 4 : 5
}

function putInt(target: Buffer, at: number, value: number): number {
  let rest = value * 2
  for (; rest > 127; rest = Math.floor(rest / 128)) target[at++] = (rest & 127) | 128
  target[at++] = rest
  return at
}

/** Nothing is not the same as empty. */
function putBytes(target: Buffer, at: number, bytes: Buffer | undefined): number {
  if (bytes === undefined) {
    target[at] = 1
    return at + 1
  }
  const { length } = bytes
  const from = putInt(target, at, length)
  if (length >= SMALL) target.set(bytes, from)
  else for (let index = 0; index < length; index++) target[from + index] = bytes[index]!
  return from + length
}

function sizeOfLong(value: bigint): number {
  let size = 1
  if (value !== 0n) for (let rest = zigzag(value); rest > 127n; rest >>= 7n) size++
  return size
}

function putLong(target: Buffer, at: number, value: bigint): number {
  let rest = value === 0n ? 0n : zigzag(value)
  for (; rest > 127n; rest >>= 7n) target[at++] = Number(rest & 127n) | 128
  target[at++] = Number(rest)
  return at
}

function zigzag(value: bigint): bigint {
  return value < 0n ? -value * 2n - 1n : value * 2n
}
