/**
 * Writes lists of texts as MessagePack, which a script takes apart in one call. Into memory of its own that is used again
 * and again, so that a batch of hundreds of entities makes one object. Text becomes UTF-8.
 */
import type { StreamId } from '../../stream-id.ts'
import { Constant } from './constant.ts'

const START_SIZE = 4 * 1_024
/** Texts up to here are copied character by character, which is faster than a call for each. */
const SHORT = 31
/** Bytes that a character of a string may take in UTF-8. */
const WIDEST = 3
const LARGEST_HEADER = 5
/** Of an order key: two letters and two numbers of sixteen digits. */
const LONGEST_KEY = 34
/** Before the letter of a number of one digit. */
const LETTER = 0x40
const ZERO = 0x30
const LARGEST_INTEGER = 0x7fffffff

export class Packer {
  #memory = Buffer.allocUnsafeSlow(START_SIZE)
  #view = new DataView(this.#memory.buffer)
  #at = 0
  /** The first part of the last version. */
  #ms = -1
  #msKey = new Constant('')
  /** How many digits its second part had, and the numbers that have so many. */
  #digits = 1
  #least = 0
  #above = 10

  /** Size of the memory that it keeps. */
  get size(): number {
    return this.#memory.length
  }

  /** Forgets what was written. */
  reset(): void {
    this.#at = 0
  }

  /** What was written, until `reset`. */
  get bytes(): Buffer {
    return this.#memory.subarray(0, this.#at)
  }

  /** A list of so many texts, which follow. */
  list(count: number): void {
    this.#reserve(LARGEST_HEADER)
    this.#header(0xdd, count, 4)
  }

  /** A list, first of all that is written, whose length `endList` says. */
  beginList(): void {
    this.#at = LARGEST_HEADER
  }

  endList(count: number): void {
    const end = this.#at
    this.#at = 0
    this.#header(0xdd, count, 4)
    this.#at = end
  }

  text(text: string): void {
    const { length } = text
    this.#reserve(length * WIDEST + LARGEST_HEADER)
    if (length <= SHORT && this.#plain(text)) return
    const width = length * WIDEST <= 0xffff ? 2 : 4
    const start = this.#at + 1 + width
    const written = this.#memory.write(text, start)
    this.#header(width === 2 ? 0xda : 0xdb, written, width)
    this.#at = start + written
  }

  /** A text that lies in memory as UTF-8. */
  utf8(memory: Buffer, from: number, length: number): void {
    this.#reserve(length + LARGEST_HEADER)
    if (length <= SHORT) this.#memory[this.#at++] = 0xa0 | length
    else if (length <= 0xffff) this.#header(0xda, length, 2)
    else this.#header(0xdb, length, 4)
    this.#bytes(memory, from, length)
  }

  /** The bytes `prefix` and then such a text, as one. */
  utf8Behind(prefix: Constant, memory: Buffer, from: number, length: number): void {
    this.#reserve(prefix.length + length + LARGEST_HEADER)
    this.#header(0xdb, prefix.length + length, 4)
    this.#at = prefix.write(this.#view, this.#at)
    this.#bytes(memory, from, length)
  }

  #bytes(memory: Buffer, from: number, length: number): void {
    if (length > SHORT) memory.copy(this.#memory, this.#at, from, from + length)
    else for (let at = 0; at < length; at++) this.#memory[this.#at + at] = memory[from + at]!
    this.#at += length
  }

  /** The order key of a version, and what goes with it, as one. */
  version(version: StreamId, mark: string, names: string): void {
    this.#reserve(LONGEST_KEY + (mark.length + names.length) * WIDEST + LARGEST_HEADER)
    const start = this.#at + LARGEST_HEADER
    let end = this.#key(version, start)
    end = this.#copy(mark, end) ?? end + this.#memory.write(mark, end)
    end = this.#copy(names, end) ?? end + this.#memory.write(names, end)
    this.#header(0xdb, end - start, 4)
    this.#at = end
  }

  /** The bytes `prefix` and then a text, as one. */
  textBehind(prefix: Constant, text: string): void {
    this.#reserve(prefix.length + text.length * WIDEST + LARGEST_HEADER)
    const start = this.#at + LARGEST_HEADER
    let end = prefix.write(this.#view, start)
    end = this.#copy(text, end) ?? end + this.#memory.write(text, end)
    this.#header(0xdb, end - start, 4)
    this.#at = end
  }

  /** As `orderKey` makes it, without the texts in between. The first part is nearly always that of the one before. */
  #key({ ms, seq }: StreamId, start: number): number {
    const memory = this.#memory
    if (ms !== this.#ms) {
      this.#ms = ms
      const text = String(ms)
      this.#msKey = new Constant(`${String.fromCharCode(LETTER + text.length)}${text}`)
    }
    if (seq < this.#least || seq >= this.#above) this.#countDigits(seq)
    const letter = this.#msKey.write(this.#view, start)
    const last = letter + this.#digits
    memory[letter] = LETTER + this.#digits
    let at = last
    let left = seq
    for (; left > LARGEST_INTEGER; at--) {
      const rest = Math.floor(left / 10)
      memory[at] = ZERO + (left - 10 * rest)
      left = rest
    }
    // Integers from here on, which is several times as fast.
    for (let whole = left | 0; at > letter; at--) {
      const rest = (whole / 10) | 0
      memory[at] = ZERO + whole - 10 * rest
      whole = rest
    }
    return last + 1
  }

  #countDigits(seq: number): void {
    this.#digits = String(seq).length
    this.#above = 10 ** this.#digits
    this.#least = this.#digits === 1 ? 0 : this.#above / 10
  }

  /** @returns false where it has more than ASCII, and nothing was written */
  #plain(text: string): boolean {
    const end = this.#copy(text, this.#at + 1)
    if (end === undefined) return false
    this.#memory[this.#at] = 0xa0 | text.length
    this.#at = end
    return true
  }

  /** Copies a short text of ASCII to a place. @returns its end, or undefined where it is another */
  #copy(text: string, start: number): number | undefined {
    const { length } = text
    if (length > SHORT) return undefined
    const memory = this.#memory
    for (let at = 0; at < length; at++) {
      const code = text.charCodeAt(at)
      if (code > 0x7f) return undefined
      memory[start + at] = code
    }
    return start + length
  }

  #header(type: number, value: number, width: 2 | 4): void {
    const memory = this.#memory
    memory[this.#at++] = type
    if (width === 4) {
      memory[this.#at++] = value >>> 24
      memory[this.#at++] = (value >>> 16) & 0xff
    }
    memory[this.#at++] = (value >>> 8) & 0xff
    memory[this.#at++] = value & 0xff
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes + Constant.SPILL
    if (needed <= this.#memory.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#memory.length))
    larger.set(this.bytes)
    this.#memory = larger
    this.#view = new DataView(larger.buffer)
  }
}

/** Packers that wait for their next use. */
export class Packers {
  readonly #free: Packer[] = []

  take(): Packer {
    return this.#free.pop() ?? new Packer()
  }

  /** Only once nobody reads its bytes any more: the server has answered. One that grew large is let go. */
  give(packer: Packer): void {
    packer.reset()
    if (this.#free.length < MOST_KEPT && packer.size <= LARGEST_KEPT) this.#free.push(packer)
  }
}

const MOST_KEPT = 16
const LARGEST_KEPT = 4 * 1_024 * 1_024
