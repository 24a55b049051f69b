/**
 * Takes credentials out of what is shown. It must be right for broken input too, since broken input is what an error
 * message shows: so it cuts by the widest reading, and never by a parser that may refuse.
 */

import { decodeLeniently, holdsCredentials, REDACTED, withoutCredentials } from '../core/redact-url.ts'

/** Names of parameters whose value is a secret, in a query string or a keyword string. */
const SECRET_NAME =
  /pass|pwd|secret|token|auth|credential|signature|sslkey|api_?key|access_?key|private_?key/i

/** Does a name sound like one of a secret? */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name)
}

/** A connection string without its credentials: `postgres://***@db:5432/app?password=***`, `host=db password=***`. */
export function redactUrl(text: string): string {
  return withoutCredentials(text, isSecretName) ?? redactKeywords(text)
}

/** `host=db password='a b'`, and `Server=db;Password=x`. Text of neither form is shown as it is. */
function redactKeywords(text: string): string {
  // From a secret name on, everything is cut: where its value ends is a guess when the text is malformed.
  const match = new RegExp(
    `^([^]*?(?:^|[\\s;,&?])[\\w.-]*(?:${SECRET_NAME.source})[\\w.-]*\\s*[=:])[^]*$`,
    'i',
  ).exec(text)
  if (match !== null) return `${match[1]}${REDACTED}`
  // user:password@host without a scheme.
  const at = text.lastIndexOf('@')
  if (at !== -1) return `${REDACTED}@${text.slice(at + 1)}`
  return isEncoded(text) ? REDACTED : text
}

/** Credentials that only decoding shows: `postgres%3A%2F%2Fu%3Apassword%40host`. */
function isEncoded(text: string): boolean {
  return text.includes('%') && !holdsCredentials(text) && holdsCredentials(decodeLeniently(text))
}

/** Each is bounded, or begins where a word does, so that it cannot be retried at each letter of one. */
const ADDRESS = /\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s"']+/gi
const USERINFO = /(?<![^\s"',:/@=])[^\s"',:/@=]+:(?!\/\/)[^\s"'@]+@/g
/** `Server=db;Password=x` and `pwd: x`; other names before a colon are mostly parts of a key: `auth:user:`. */
const PAIR = new RegExp(
  String.raw`(?<![\w.-])([\w.-]{0,40}(?:(?:${SECRET_NAME.source})[\w.-]{0,40}\s*=|(?:pass|pwd)[\w.-]{0,40}\s*:)\s*)(?!\*\*\*)[^\s][^]*$`,
  'i',
)

/**
 * A value of any setting, as it may be printed: a connection string is often pasted into the wrong field. Text without
 * credentials stays as it is, and so does what was redacted before.
 */
export function redactSetting(text: string): string {
  const shown = text
    .replaceAll(ADDRESS, redactUrl)
    .replaceAll(USERINFO, `${REDACTED}@`)
    .replace(PAIR, `$1${REDACTED}`)
  return isEncoded(shown) ? REDACTED : shown
}

/** A message that may quote values, such as a schema's, without those of `secrets`, of 4 characters and more. */
export function redactMessage(message: string, secrets: readonly string[]): string {
  const known = secrets.filter((secret) => secret.length >= 4)
  return redactSetting(known.reduce((text, secret) => text.replaceAll(secret, REDACTED), message))
}
