/**
 * Takes credentials out of what is shown. It must be right for broken input too, since broken input is what an error
 * message shows: so it cuts by the widest reading, and never by a parser that may refuse.
 */

import { REDACTED, withoutCredentials } from '../core/redact-url.ts'

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
  return at === -1 ? text : `${REDACTED}@${text.slice(at + 1)}`
}
