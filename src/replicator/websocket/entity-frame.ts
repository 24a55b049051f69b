/**
 * Frames of one entity in their usual form, read from their bytes:
 *
 *     {"entity_type":"company","message_type":"full","entity_id":"c1","data":{…},"stream_id":"1700000000000-0"}
 *
 * With its keys in this order a frame is told by how it begins, `data` is checked to be JSON and not parsed, and one text is
 * made of id and entity. Anything else, also what is not JSON, is left to the reader of all frames (frame.ts).
 */
import { isUtf8 } from 'node:buffer'
import type { LaneSpec, Receiver } from '../contract.ts'
import { parseStreamIdBytes } from '../stream-id.ts'
import { JsonScanner, NO_JSON } from './json-scanner.ts'
import { LastView } from './last-view.ts'

export const MAX_ID_LENGTH = 512

/** @returns false where the frame is not of the usual form; nothing was done then */
export type EntityFrameReader = (bytes: Buffer, from: number, to: number, receiver: Receiver) => boolean

/** How frames of one lane and kind begin. */
interface Beginning {
  readonly bytes: Buffer
  /** The same four bytes at once, but for the last ones. */
  readonly words: Int32Array
  readonly lane: string
  readonly kind: 'full' | 'partial' | 'delete'
}

const KINDS = ['full', 'partial', 'delete'] as const
const LANE_AT = '{"entity_type":"'.length
const DATA_KEY = Buffer.from(',"data":')
const STREAM_KEY = Buffer.from(',"stream_id":"')
const FRAME_END = '"}'.length

export function entityFrameReader(lanes: readonly LaneSpec[]): EntityFrameReader {
  // By the first character of the lane's name, so that most of the others are not even looked at.
  const beginnings = new Map<number, Beginning[]>()
  for (const { name } of lanes) {
    for (const kind of KINDS) {
      const text = `{"entity_type":${JSON.stringify(name)},"message_type":"${kind}","entity_id":"`
      const bytes = Buffer.from(text)
      const first = bytes[LANE_AT]!
      const beginning = { bytes, words: wordsOf(bytes), lane: name, kind }
      beginnings.set(first, [...(beginnings.get(first) ?? []), beginning])
    }
  }
  const scanner = new JsonScanner()
  const views = new LastView()
  return (bytes, from, to, receiver) => {
    const found = from + LANE_AT < to ? beginnings.get(bytes[from + LANE_AT]!) : undefined
    if (found === undefined) return false
    const view = views.of(bytes)
    for (const beginning of found) {
      if (begins(view, beginning, from, to))
        return read(bytes, from + beginning.bytes.length, to, beginning, scanner, receiver)
    }
    return false
  }
}

function read(
  bytes: Buffer,
  idAt: number,
  to: number,
  { lane, kind }: Beginning,
  scanner: JsonScanner,
  receiver: Receiver,
): boolean {
  const idEnd = plainEnd(bytes, idAt, to)
  if (idEnd === idAt || idEnd - idAt > MAX_ID_LENGTH) return false
  const hasData = hasAt(bytes, DATA_KEY, idEnd + 1, to)
  if (!hasData && kind !== 'delete') return false
  const dataAt = hasData ? idEnd + 1 + DATA_KEY.length : idEnd + 1
  const end = to - FRAME_END
  const dataEnd = hasData ? scanner.objectEnd(bytes, dataAt, end) : dataAt
  if (dataEnd === NO_JSON || !hasAt(bytes, STREAM_KEY, dataEnd, end)) return false
  if (bytes[end] !== QUOTE || bytes[end + 1] !== BRACE) return false
  const at = parseStreamIdBytes(bytes, dataEnd + STREAM_KEY.length, end)
  if (at === undefined) return false
  const isPlain = !hasData || scanner.isAscii
  if (!isPlain && !isUtf8(bytes.subarray(dataAt, dataEnd))) return false
  if (kind === 'delete') {
    receiver.message(lane, kind, bytes.toString('latin1', idAt, idEnd), '', undefined, at)
    return true
  }
  if (kind === 'full' && receiver.full !== undefined) {
    receiver.full(lane, bytes, idAt, idEnd, dataAt, dataEnd, at)
    return true
  }
  // One text for both, since making one costs more than taking it apart.
  const text = bytes.toString(isPlain ? 'latin1' : 'utf8', idAt, dataEnd)
  receiver.message(lane, kind, text.slice(0, idEnd - idAt), text.slice(dataAt - idAt), undefined, at)
  return true
}

/** Where the quote of a text is; `start` where the text has more than plain ASCII, or does not end. */
function plainEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte === QUOTE) return at
    if (byte === BACKSLASH || byte < SPACE || byte > ASCII) return start
  }
  return start
}

function wordsOf(bytes: Buffer): Int32Array {
  return Int32Array.from({ length: bytes.length >> 2 }, (_, word) => bytes.readInt32LE(4 * word))
}

/** Most of a frame's bytes beside the entity are these, so that they are compared four at once. */
function begins(view: DataView, { bytes, words }: Beginning, from: number, to: number): boolean {
  const { length } = bytes
  if (from + length > to) return false
  for (let word = 0; word < words.length; word++)
    if (view.getInt32(from + 4 * word, true) !== words[word]) return false
  for (let at = 4 * words.length; at < length; at++) if (view.getUint8(from + at) !== bytes[at]) return false
  return true
}

function hasAt(bytes: Uint8Array, part: Uint8Array, start: number, end: number): boolean {
  if (start + part.length > end) return false
  for (let at = 0; at < part.length; at++) if (bytes[start + at] !== part[at]) return false
  return true
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACE = 0x7d
const SPACE = 0x20
const ASCII = 0x7f
