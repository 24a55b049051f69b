/** One text for each JSON value, whatever the order of its keys: what hashes are made of. And the hash of a record. */
import { createHash } from 'node:crypto'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Keys sorted by code unit, no blanks; numbers and texts as JSON.stringify writes them. */
export function canonicalJson(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`
  const keys = Object.keys(value).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] ?? null)}`).join(',')}}`
}

export interface Hashed {
  readonly at: Date
  readonly actor: string
  readonly action: string
  readonly subject: string | null
  readonly before: Json
  readonly after: Json
  readonly meta: Json
  readonly chain: string | null
}

/** What the first record of a chain has before it. */
export const GENESIS = '0'.repeat(64)

/** SHA-256 in hexadecimal over the hash before and the record. */
export function hashOf(previous: string, record: Hashed): string {
  const { at, actor, action, subject, before, after, meta, chain } = record
  const text = canonicalJson([previous, chain, at.toISOString(), actor, action, subject, before, after, meta])
  return createHash('sha256').update(text).digest('hex')
}

function isList(value: object): value is readonly Json[] {
  return Array.isArray(value)
}
