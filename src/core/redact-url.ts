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
  const place = rest
    .slice(at + 1)
    .replaceAll(/([?&;])([^=&;?]*)=([^&;]*)/g, (whole, mark: string, name: string) =>
      isSecret(decodeLeniently(name)) ? `${mark}${name}=${REDACTED}` : whole,
    )
  return `${scheme[1]}${at === -1 ? '' : `${REDACTED}@`}${place}`
}

function decodeLeniently(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
