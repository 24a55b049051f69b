/**
 * Takes secrets out of what is logged, traced, exposed or sent.
 *
 * Two ways, both at once. What has a structure is shown by an allow-list: of an error its known fields and no others, of
 * headers those on a list, of an object no value whose name sounds like a secret. What is free text loses everything
 * that looks like a credential: the userinfo of addresses, the value after a secret's name, authorization schemes.
 *
 * Guessing cannot be complete, so whoever knows the secrets themselves (the configuration does) makes a redactor with
 * them: then each is found wherever it stands, also percent- or base64-encoded.
 */
import { isSluiceError } from '../core/errors.ts'
import { REDACTED, withoutCredentials } from '../core/redact-url.ts'

/** Names whose value is a secret: `PGPASSWORD`, `clientSecret`, `x-api-key`, `set-cookie`. */
const SECRET_NAME =
  /pass(?:word|wd|phrase|code)?$|pwd|secret|token|authori[sz]ation|credential|signature|cookie|sslkey|(?:api|access|private|signing|encryption)[-_]?key|session[-_]?id|^auth$|^dsn$/i

/** Does the name sound like that of a secret? */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name)
}

/** What an address is a part of, and how it begins. */
const WORD = /[^\s"'<>]+/g
const ADDRESS = /\b[a-z][a-z0-9+.-]{0,30}:\/\//i

/** `Bearer x`, `AWS4-HMAC-SHA256 Credential=…`: whatever follows. */
const SCHEME = /\b(Bearer|AWS4-HMAC-SHA256)\s+[\w+/=.~:,-]{4,}/gi

/**
 * `Basic dXNlcjpw…`, `Token 9f86d081`. These are words of every day as well (a basic account, a token expired), so what
 * follows must be more than a word in lower-case letters.
 */
const COMMON_SCHEME =
  /\b([Bb]asic|BASIC|[Nn]egotiate|NEGOTIATE|[Tt]oken|TOKEN)\s+(?![a-z]+[.,:;]*(?:\s|$))[\w+/=.~:,-]{4,}/g

/** `Digest username="…", response="…"` to the end of the line. */
const DIGEST = /\b(Digest)\s+\w+\s*=[^\r\n]*/gi

/** `Authorization: …` and `Cookie: …` to the end of the line: their values have blanks in them. */
const HEADER_LINE = /\b((?:proxy-)?authorization|(?:set-)?cookie)(["']?\s*:\s*)[^\r\n]+/gi

/** `name=value`, `"name": "value"`, `name: value`, where the name is one of a secret. Every repetition is bounded or cannot be retried. */
const PAIR =
  /((?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credentials?|signature|sslkey|(?:api|access|private|signing|encryption)[-_]?key|session[-_]?id)[\w-]{0,20})(["']?\s*(?:=|:(?!\/\/))\s*)("(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[^\s&;,"'})\]]+)/gi

/** Free text without what looks like a credential. Idempotent. */
export function redactText(text: string): string {
  return text
    .replaceAll(WORD, withoutUserinfo)
    .replaceAll(HEADER_LINE, `$1$2${REDACTED}`)
    .replaceAll(PAIR, `$1$2${REDACTED}`)
    .replaceAll(SCHEME, `$1 ${REDACTED}`)
    .replaceAll(COMMON_SCHEME, `$1 ${REDACTED}`)
    .replaceAll(DIGEST, `$1 ${REDACTED}`)
}

/**
 * `postgres://user:pa@ss/word@host` without what stands before the last @ of the word, since a password may hold any of
 * `@ : / # ?` unescaped. Word by word, because one pattern for all of it took 4 s for a text of 80 KB.
 */
function withoutUserinfo(word: string): string {
  const at = word.lastIndexOf('@')
  if (at === -1) return word
  const begin = ADDRESS.exec(word)
  const userinfo = begin === null ? Infinity : begin.index + begin[0].length
  return userinfo > at ? word : `${word.slice(0, userinfo)}${REDACTED}${word.slice(at)}`
}

/** A connection string that may be shown; text without a scheme as any other text. */
export function redactUrl(url: string): string {
  return withoutCredentials(url, (name) => SECRET_NAME.test(name)) ?? redactText(url)
}

/** Headers worth a log line; every other one is named without its value. */
const PUBLIC_HEADERS: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'retry-after',
  'traceparent',
  'user-agent',
  'x-request-id',
])

const MAX_DEPTH = 6
const MAX_ENTRIES = 100
const MAX_TEXT = 10_000

/** Any value as JSON data that may be shown. Bounded: depth 6, 100 entries a level, 10,000 characters a string. `text` redacts strings. */
export function redactValue(value: unknown, text: (text: string) => string = redactText): unknown {
  return show(value, '', MAX_DEPTH, new Set(), text)
}

/** An error as data for a log: known fields only, texts redacted, causes and parts of an AggregateError nested. */
export function describeError(error: unknown): Readonly<Record<string, unknown>> {
  return describe(error, MAX_DEPTH, new Set(), redactText)
}

/** An error that may be shown to anyone who prints it: a copy of name, message, code, stack and causes, redacted. */
export function redactError(error: unknown): Error {
  return copyError(error, MAX_DEPTH)
}

export interface Redactor {
  readonly text: (text: string) => string
  readonly value: (value: unknown) => unknown
}

/** A redactor that also knows `secrets` themselves. Those of fewer than 4 characters are left to the patterns. */
export function createRedactor(secrets: readonly string[]): Redactor {
  const forms = new Set<string>()
  for (const secret of secrets) {
    if (secret.length < 4) continue
    const base64 = Buffer.from(secret).toString('base64')
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])
      forms.add(form)
    forms.add(base64).add(base64.replace(/=+$/, '')).add(Buffer.from(secret).toString('base64url'))
  }
  // The longest first, so that a secret that holds another is taken out whole.
  const ordered = [...forms].sort((a, b) => b.length - a.length)
  const text = (given: string): string =>
    redactText(ordered.reduce((shown, form) => shown.replaceAll(form, REDACTED), given))
  return { text, value: (given) => show(given, '', MAX_DEPTH, new Set(), text) }
}

type RedactText = (text: string) => string

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}

function show(value: unknown, name: string, depth: number, above: Set<object>, text: RedactText): unknown {
  if (value === null || value === undefined || typeof value === 'boolean') return value
  if (name !== '' && SECRET_NAME.test(name)) return REDACTED
  if (typeof value === 'string') return cut(text(value))
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object') return `[${typeof value}]`
  if (above.has(value)) return '[circular]'
  if (depth === 0) return '[deep]'
  if (value instanceof Error) return describe(value, depth, above, text)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString()
  if (value instanceof URL) return redactUrl(value.href)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  above.add(value)
  const shown = Array.isArray(value)
    ? value.slice(0, MAX_ENTRIES).map((entry) => show(entry, name, depth - 1, above, text))
    : showEntries(value, name, depth, above, text)
  above.delete(value)
  return shown
}

function showEntries(
  value: object,
  name: string,
  depth: number,
  above: Set<object>,
  text: RedactText,
): Record<string, unknown> {
  const entries: Iterable<readonly [unknown, unknown]> =
    value instanceof Map ? value : value instanceof Set ? value.entries() : Object.entries(value)
  const headers = /headers$/i.test(name)
  // No prototype, so that a key called __proto__ is a key.
  const shown = Object.create(null) as Record<string, unknown>
  let left = MAX_ENTRIES
  for (const [key, entry] of entries) {
    if (left-- === 0) break
    const label = text(typeof key === 'symbol' ? key.toString() : String(key))
    const hidden = headers && !PUBLIC_HEADERS.has(label.toLowerCase())
    shown[label] = hidden ? REDACTED : show(entry, label, depth - 1, above, text)
  }
  return shown
}

/** Fields of system and driver errors that say where and what, never with which values. */
const SYSTEM_FIELDS = ['code', 'errno', 'syscall', 'address', 'port', 'path'] as const

function describe(
  error: unknown,
  depth: number,
  above: Set<object>,
  text: RedactText,
): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error, message: show(error, '', 1, above, text) }
  if (above.has(error)) return { type: error.name, message: '[circular]' }
  above.add(error)
  const shown: Record<string, unknown> = {
    type: text(String(error.name)),
    message: cut(text(String(error.message))),
  }
  for (const field of SYSTEM_FIELDS) {
    const value = (error as unknown as Record<string, unknown>)[field]
    if (typeof value === 'string' || typeof value === 'number') shown[field] = show(value, '', 1, above, text)
  }
  if (isSluiceError(error)) {
    const { component, operation, hint, details, retryable } = error
    for (const [field, value] of Object.entries({ component, operation, hint, details, retryable })) {
      if (value !== undefined) shown[field] = show(value, '', depth - 1, above, text)
    }
  }
  if (typeof error.stack === 'string') shown['stack'] = cut(text(error.stack))
  if (depth > 1 && error.cause !== undefined) {
    shown['cause'] =
      error.cause instanceof Error
        ? describe(error.cause, depth - 1, above, text)
        : show(error.cause, '', depth - 1, above, text)
  }
  if (depth > 1 && error instanceof AggregateError) {
    shown['errors'] = error.errors.slice(0, 10).map((part: unknown) => describe(part, depth - 1, above, text))
  }
  above.delete(error)
  return shown
}

function copyError(error: unknown, depth: number): Error {
  if (!(error instanceof Error)) return new Error(redactText(String(error)))
  const cause = depth > 1 && error.cause !== undefined ? copyError(error.cause, depth - 1) : undefined
  const options = cause === undefined ? undefined : { cause }
  const copy =
    error instanceof AggregateError
      ? new AggregateError(
          error.errors.slice(0, 10).map((part: unknown) => copyError(part, depth - 1)),
          redactText(error.message),
          options,
        )
      : new Error(redactText(error.message), options)
  copy.name = error.name
  if (typeof error.stack === 'string') copy.stack = redactText(error.stack)
  if ('code' in error && (typeof error.code === 'string' || typeof error.code === 'number')) {
    Object.assign(copy, { code: error.code })
  }
  return copy
}
