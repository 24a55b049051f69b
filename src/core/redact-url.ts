/**
 * Takes credentials out of an address: scheme, host, port, path and the harmless parameters stay. User names go with
 * the passwords: an access key id is one. It reads by patterns, not by a parser, since it is most needed for broken
 * input; so it cuts by the widest reading.
 */
export const REDACTED = '***'

/** Undefined for text without a scheme. `isSecret`: is the value of a parameter of that name one? */
export function withoutCredentials(text: string, isSecret: (name: string) => boolean): string | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*:\/\/)([^]*)$/i.exec(text.trim())
  if (scheme === null) return undefined
  const rest = scheme[2] ?? ''
  // Everything up to the last @ may be credentials: a password may hold any of @ : / # ? unescaped.
  const at = rest.lastIndexOf('@')
  const place = (at === -1 ? withoutOddPort(rest) : rest.slice(at + 1)).replaceAll(
    /([?&;])([^=&;?]*)=([^&;]*)/g,
    (whole, mark: string, name: string, value: string) =>
      isSecret(decodeLeniently(name)) || holdsCredentials(decodeLeniently(value))
        ? `${mark}${name}=${REDACTED}`
        : whole,
  )
  return `${scheme[1]}${at === -1 ? '' : `${REDACTED}@`}${place}`
}

/** What stands for a port and is none is the password of an address whose end is missing: `postgres://app:s3cret`. */
function withoutOddPort(rest: string): string {
  const odd = /^(?:\[[^\]]*\]|[^/?#[:]|:\d{0,5}(?=,))*:(?!\d{0,5}(?:[/?#,]|$))/.exec(rest)
  return odd === null ? rest : `${odd[0]}${REDACTED}`
}

/** An address with a password, or `password=…`, inside another value. */
export function holdsCredentials(text: string): boolean {
  return /:\/\/[^\s/@:]*:[^\s@]*@|(?:pass|pwd|secret|token)\w*\s*[=:]\s*[^\s*]/i.test(text)
}

export function decodeLeniently(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
