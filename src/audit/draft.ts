/**
 * A record as it will be stored: checked, without secrets, and small enough. Texts are data wherever they go: line breaks
 * and escape sequences stay in them and do no harm in a column.
 */
import { invalidArgument, SluiceError } from '../core/errors.ts'
import { REDACTED } from '../core/redact-url.ts'
import { isSecretName, redactText } from '../telemetry/redact.ts'
import type { AuditEntry } from './api.ts'
import { canonicalJson, type Hashed, type Json } from './canonical.ts'

export interface Draft extends Omit<Hashed, 'at'> {
  readonly bytes: number
  /** Names the record before it has an id, so that it may be sent again; null in a transaction of the user's. */
  readonly ticket: string | null
}

const MAX_DEPTH = 50

/** Throws SLUICE_INVALID_ARGUMENT, SLUICE_INVALID_DATA or SLUICE_TOO_LARGE. */
export function draftOf(entry: AuditEntry, chain: string | undefined, maxBytes: number): Draft {
  const draft = {
    actor: checkText('actor', entry.actor, 200),
    action: checkText('action', entry.action, 200),
    subject: entry.subject === undefined ? null : checkText('subject', entry.subject, 500),
    before: clean('before', entry.before, maxBytes),
    after: clean('after', entry.after, maxBytes),
    meta: clean('meta', entry.meta, maxBytes),
    chain: chain === undefined ? null : checkText('chain', chain, 200),
  }
  const bytes = Buffer.byteLength(canonicalJson([draft.before, draft.after, draft.meta]))
  if (bytes > maxBytes) throw tooLarge(bytes, maxBytes)
  return { ...draft, bytes, ticket: null }
}

export function checkText(what: string, value: unknown, max: number): string {
  if (typeof value === 'string' && value !== '' && value.length <= max && !value.includes('\0'))
    return value.toWellFormed()
  throw invalidArgument(`audit: ${what}`, `text of 1 to ${max} characters without NUL`, value)
}

function clean(what: string, value: unknown, maxBytes: number): Json {
  if (value === undefined || value === null) return null
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw new SluiceError('SLUICE_INVALID_DATA', `audit: ${what} cannot be written as JSON`, {
      cause,
      hint: 'Leave out circles and bigints, and what lies too deep.',
    })
  }
  if (text === undefined) throw new SluiceError('SLUICE_INVALID_DATA', `audit: ${what} is no JSON data`)
  if (text.length > maxBytes) throw tooLarge(text.length, maxBytes)
  return redacted(what, JSON.parse(text) as Json, MAX_DEPTH)
}

function redacted(what: string, value: Json, depth: number): Json {
  if (typeof value === 'string') return storable(redactText(value))
  if (typeof value !== 'object' || value === null) return value
  if (depth === 0)
    throw new SluiceError('SLUICE_INVALID_DATA', `audit: ${what} is more than ${MAX_DEPTH} levels deep`)
  if (Array.isArray(value)) return value.map((each) => redacted(what, each, depth - 1))
  // No prototype, so that a key called __proto__ is a key.
  const shown = Object.create(null) as Record<string, Json>
  for (const [key, each] of Object.entries(value)) {
    shown[storable(key)] = isSecretName(key) && each !== null ? REDACTED : redacted(what, each, depth - 1)
  }
  return shown
}

/** jsonb takes neither NUL nor half a character. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\u{FFFD}')
}

function tooLarge(bytes: number, maxBytes: number): SluiceError {
  return new SluiceError(
    'SLUICE_TOO_LARGE',
    `audit: the record has ${bytes} bytes, more than audit.max_size, ${maxBytes}`,
    {
      hint: 'Record what changed, not the whole, or raise AUDIT_MAX_SIZE.',
    },
  )
}
