/**
 * Reads PostgreSQL's write-ahead log: pages of 8 KB, in segment files, with records that run on over pages.
 *
 * Page: magic u16, flags u16, timeline u32, its own address u64, bytes left of a record from the page before u32; 24
 * bytes, or 40 at the start of a segment. Record, at multiples of 8: length u32, transaction u32, address of the
 * previous record u64, info u8, manager u8, padding u16, CRC-32C u32; 24 bytes, then its data. The checksum is over the
 * data first and then the header up to itself. (src/include/access/xlog_internal.h and xlogrecord.h of PostgreSQL; the
 * same in versions 15 to 18.)
 */
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Crc32c } from './crc32c.ts'

export const PAGE = 8_192
const RECORD_HEADER = 24
const LARGEST_RECORD = 1_020 * 1_024 * 1_024
const IS_CONTINUED = 0x0001
const LONG_HEADER = 0x0002
const OVERWRITES = 0x0008
/** XLOG_SWITCH of the resource manager 0: the rest of the segment is empty. */
const SWITCH_MANAGER = 0
const SWITCH_INFO = 0x40

export interface Page {
  readonly bytes: Buffer
  readonly headerBytes: number
  /** Bytes of a record of an earlier page that this one goes on with; 0 for none. */
  readonly continues: number
  /** It replaces the rest of a record that was never completed. */
  readonly overwrites: boolean
}

export type Read =
  | { readonly kind: 'record'; readonly next: number; readonly previous: number }
  /** A record that an earlier recovery gave up; the log goes on at `next`. */
  | { readonly kind: 'abandoned'; readonly next: number }
  /** `end` is where it would end, if its length can be believed. */
  | { readonly kind: 'invalid'; readonly end: number | undefined }

/** The log of one data directory, on one timeline. Holds one segment in memory. */
export class Wal {
  readonly #directory: string
  readonly #timeline: number
  readonly #crc: Crc32c
  readonly #sizes: ReadonlyMap<string, number>
  readonly segmentBytes: number
  #loaded: { readonly number: number; readonly bytes: Buffer | undefined } | undefined
  #magic: number | undefined

  static async open(dataDir: string, timeline: number, crc: Crc32c): Promise<Wal> {
    const directory = join(dataDir, 'pg_wal')
    const names = (await readdir(directory)).filter((name) => /^[0-9A-F]{24}$/.test(name))
    const sizes = await Promise.all(
      names.map(async (name) => [name, (await stat(join(directory, name))).size] as const),
    )
    return new Wal(directory, timeline, crc, new Map(sizes))
  }

  constructor(directory: string, timeline: number, crc: Crc32c, sizes: ReadonlyMap<string, number>) {
    this.#directory = directory
    this.#timeline = timeline
    this.#crc = crc
    this.#sizes = sizes
    // One of them is whole, or there is nothing to read.
    this.segmentBytes = Math.max(PAGE, ...sizes.values())
  }

  /** Where the last existing segment ends. */
  get end(): number {
    const perId = 2 ** 32 / this.segmentBytes
    const numbers = [...this.#sizes.keys()].map(
      (name) => Number.parseInt(name.slice(8, 16), 16) * perId + Number.parseInt(name.slice(16), 16),
    )
    return (Math.max(-1, ...numbers) + 1) * this.segmentBytes
  }

  /** Address of the first segment from `address` on that is shorter than a segment, if any. */
  truncatedFrom(address: number): number | undefined {
    const last = this.end / this.segmentBytes
    for (let number = Math.floor(address / this.segmentBytes); number < last; number++) {
      const size = this.#sizes.get(this.#name(number))
      if (size !== undefined && size < this.segmentBytes) return number * this.segmentBytes
    }
    return undefined
  }

  /** The page at this address, or undefined where the file holds something else: zeros, or an older page. */
  async page(address: number): Promise<Page | undefined> {
    const segment = await this.#segment(Math.floor(address / this.segmentBytes))
    const offset = address % this.segmentBytes
    if (segment === undefined || segment.length < offset + PAGE) return undefined
    const bytes = segment.subarray(offset, offset + PAGE)
    const magic = bytes.readUInt16LE(0)
    if (magic === 0 || Number(bytes.readBigUInt64LE(8)) !== address) return undefined
    this.#magic ??= magic
    if (magic !== this.#magic || bytes.readUInt32LE(4) !== this.#timeline) return undefined
    const flags = bytes.readUInt16LE(2)
    return {
      bytes,
      headerBytes: flags & LONG_HEADER ? 40 : 24,
      continues: flags & IS_CONTINUED ? bytes.readUInt32LE(16) : 0,
      overwrites: (flags & OVERWRITES) !== 0,
    }
  }

  /** The record at this address, with its checksum verified. */
  async record(address: number): Promise<Read> {
    const page = await this.page(address - (address % PAGE))
    if (page === undefined) return { kind: 'invalid', end: undefined }
    const start = address % PAGE === 0 ? address + page.headerBytes : address
    const length = page.bytes.readUInt32LE(start % PAGE)
    if (length < RECORD_HEADER || length > LARGEST_RECORD) return { kind: 'invalid', end: undefined }
    const parts: Buffer[] = []
    let at = start
    let missing = length
    for (let current = page; ;) {
      const part = current.bytes.subarray(at % PAGE, Math.min(PAGE, (at % PAGE) + missing))
      parts.push(part)
      missing -= part.length
      at += part.length
      if (missing === 0) break
      const next = await this.page(at)
      if (next?.overwrites === true) return { kind: 'abandoned', next: at }
      if (next?.continues !== missing) return { kind: 'invalid', end: this.#endOf(start, length) }
      current = next
      at += next.headerBytes
    }
    const record = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    const data = this.#crc(record, RECORD_HEADER, record.length)
    if (this.#crc(record, 0, 20, data) !== record.readUInt32LE(20)) return { kind: 'invalid', end: at }
    const switches = record[17] === SWITCH_MANAGER && (record[16]! & 0xf0) === SWITCH_INFO
    const next = switches ? Math.ceil(at / this.segmentBytes) * this.segmentBytes : Math.ceil(at / 8) * 8
    return { kind: 'record', next, previous: Number(record.readBigUInt64LE(8)) }
  }

  /** Where a record of this length would end, page headers counted. */
  #endOf(start: number, length: number): number {
    let end = start
    for (let missing = length; missing > 0;) {
      const room = PAGE - (end % PAGE)
      const part = Math.min(missing, room)
      missing -= part
      end += part
      if (missing > 0) end += end % this.segmentBytes === 0 ? 40 : 24
    }
    return end
  }

  #name(number: number): string {
    const perId = 2 ** 32 / this.segmentBytes
    const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')
    return hex(this.#timeline) + hex(Math.floor(number / perId)) + hex(number % perId)
  }

  async #segment(number: number): Promise<Buffer | undefined> {
    if (this.#loaded?.number === number) return this.#loaded.bytes
    const name = this.#name(number)
    const bytes = this.#sizes.has(name) ? await readWhole(join(this.#directory, name)) : undefined
    this.#loaded = { number, bytes }
    return bytes
  }
}

async function readWhole(path: string): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    return await file.readFile()
  } finally {
    await file.close()
  }
}
