/**
 * Positions in a stream: `ms-seq`, two whole numbers, compared as numbers and never as text ('9-1' is before '10-0').
 *
 * Both parts are at most 2^53 - 1, so that they are exact in JavaScript and in Lua. Leading zeros are accepted and
 * not kept: the text of an id is made anew from its numbers.
 */

/** A position in a stream. Ascends; `ms` is usually a time in milliseconds, `seq` counts within it. */
export interface StreamId {
  readonly ms: number
  readonly seq: number
}

/** Before every id that a stream can hold. */
export const STREAM_START: StreamId = { ms: 0, seq: 0 }

/** Negative when `a` is before `b`, 0 when they are the same, positive when it is after. */
export function compareStreamIds(a: StreamId, b: StreamId): number {
  return a.ms === b.ms ? a.seq - b.seq : a.ms - b.ms
}

/** Is `a` strictly after `b`? */
export function isAfter(a: StreamId, b: StreamId): boolean {
  return a.ms === b.ms ? a.seq > b.seq : a.ms > b.ms
}

/** Also of ids that are not known. */
export function sameStreamId(a: StreamId | undefined, b: StreamId | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.ms === b.ms && a.seq === b.seq)
}

/** `ms-seq`, without leading zeros. */
export function streamIdText(id: StreamId): string {
  return `${id.ms}-${id.seq}`
}

/** The id of a text of the form `ms-seq`; undefined for anything else, and for parts above 2^53 - 1. Never throws. */
export function parseStreamId(text: unknown): StreamId | undefined {
  if (typeof text !== 'string' || text.length > MAX_TEXT) return undefined
  const bytes = Buffer.from(text)
  return parseStreamIdBytes(bytes, 0, bytes.length)
}

/** The same for a part of a frame, without cutting it out: one message is one call on the hot path. */
export function parseStreamIdBytes(bytes: Uint8Array, from: number, to: number): StreamId | undefined {
  let at = from
  let ms = 0
  for (; at < to; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) break
    ms = ms * 10 + digit
  }
  if (at === from || at >= to || bytes[at] !== DASH) return undefined
  const afterDash = ++at
  let seq = 0
  for (; at < to; at++) {
    const digit = bytes[at]! - ZERO
    if (digit < 0 || digit > 9) return undefined
    seq = seq * 10 + digit
  }
  if (at === afterDash || ms > Number.MAX_SAFE_INTEGER || seq > Number.MAX_SAFE_INTEGER) return undefined
  return { ms, seq }
}

const ZERO = 48
const DASH = 45
/** Two numbers of 16 digits, the dash, and room for leading zeros. */
const MAX_TEXT = 64
