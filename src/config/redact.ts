/**
 * Takes credentials out of what is shown. It must be right for broken input too, since broken input is what an error
 * message shows: so it cuts by the widest reading, and never by a parser that may refuse.
 */

export const REDACTED = '***'

/** Names of parameters whose value is a secret, in a query string or a keyword string. */
const SECRET_NAME =
  /pass|pwd|secret|token|auth|credential|signature|sslkey|api_?key|access_?key|private_?key/i

/** Does a name sound like one of a secret? */
export function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name)
}

/** A connection string without its credentials: `postgres://***@db:5432/app?password=***`, `host=db password=***`. */
export function redactUrl(text: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*:\/\/)([^]*)$/i.exec(text.trim())
  if (scheme === null) return redactKeywords(text)
  const rest = scheme[2] ?? ''
  // Everything up to the last @ may be credentials: a password may hold any of @ : / # ? unescaped.
  const at = rest.lastIndexOf('@')
  return `${scheme[1]}${at === -1 ? '' : `${REDACTED}@`}${redactQuery(rest.slice(at + 1))}`
}

function redactQuery(text: string): string {
  return text.replaceAll(/([?&;])([^=&;?]*)=([^&;]*)/g, (whole, mark: string, name: string) =>
    SECRET_NAME.test(decodeLeniently(name)) ? `${mark}${name}=${REDACTED}` : whole,
  )
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

function decodeLeniently(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
