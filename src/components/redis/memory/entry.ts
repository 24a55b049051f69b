/** What a key of the in-memory store holds. Types have Redis's names, as TYPE says them. */
import { SluiceError } from '../../../core/errors.ts'
import type { Argument } from '../backend.ts'

export type EntryValue =
  | { readonly type: 'string'; text: Argument }
  | { readonly type: 'hash'; readonly fields: Map<string, string> }
  | { readonly type: 'list'; readonly items: string[] }
  | { readonly type: 'set'; readonly members: Set<string> }
  | { readonly type: 'zset'; readonly scores: Map<string, number> }

export type EntryType = EntryValue['type']

export interface Entry {
  readonly value: EntryValue
  /** Monotonic milliseconds at which the entry ends; Infinity for never. */
  expiresAt: number
  /** What the entry counts against the limit of bytes, an estimate. */
  bytes: number
  /** Written by a lock, a session, a limiter: never evicted, as that would break a promise. */
  pinned: boolean
}

/** A guess at what an entry, a field or a member costs beside its text. */
export const OVERHEAD_BYTES = 64

/** Estimated bytes of a text: UTF-16 code units count two, which is the most that V8 needs. */
export function textBytes(text: Argument): number {
  return typeof text === 'string' ? text.length * 2 : text.length
}

/** An error such as the server would reply. */
export function refused(message: string): SluiceError {
  return new SluiceError('SLUICE_QUERY', `redis refused the command: ${message}`)
}

export const wrongType = (): SluiceError =>
  refused('WRONGTYPE Operation against a key holding the wrong kind of value')
