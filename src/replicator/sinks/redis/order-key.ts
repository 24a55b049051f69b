/**
 * Stream ids as text that sorts as the ids do, so that a script compares two versions with one `<`.
 *
 * Each part is its decimal digits behind a letter that says how many: 'A' for one, 'P' for the sixteen that 2^53 - 1
 * has. `1700000000000-12` is `M1700000000000B12`. Digits and capitals sort alike in every locale, which matters since
 * Lua compares by the locale of the server.
 */
import type { StreamId } from '../../stream-id.ts'

export function orderKey({ ms, seq }: StreamId): string {
  const first = String(ms)
  const second = String(seq)
  return `${LETTERS[first.length]}${first}${LETTERS[second.length]}${second}`
}

/** The id of an order key, also where more follows it; undefined for anything else. */
export function parseOrderKey(text: string): StreamId | undefined {
  const [, ms, seq] = /^[A-P](\d+)[A-P](\d+)/.exec(text) ?? []
  return ms === undefined || seq === undefined ? undefined : { ms: Number(ms), seq: Number(seq) }
}

const LETTERS = '@ABCDEFGHIJKLMNOP'
