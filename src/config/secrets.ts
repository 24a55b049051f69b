/** The secrets that a configuration holds, so that a redactor can find them wherever they turn up. Never shown. */
import type { Field, Fields } from './section.ts'

/** Secrets of one value: the value itself, the passwords of a connection string, those of nested settings. */
export function secretsOf(field: Field<unknown>, value: unknown): readonly string[] {
  if (value === undefined || value === null) return []
  if (field.nested !== undefined) return nestedSecrets(field.nested, value)
  if (typeof value !== 'string') return []
  if (field.secrecy === 'secret') return [value]
  return field.secrecy === 'url' ? urlSecrets(value) : []
}

/** A group of fields, or a mapping from name to such groups. */
function nestedSecrets(fields: Fields, value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, part]: [string, unknown]) => {
    const field = fields[key]
    return field === undefined ? nestedSecrets(fields, part) : secretsOf(field, part)
  })
}

function urlSecrets(text: string): readonly string[] {
  const secrets: string[] = []
  const scheme = text.indexOf('://')
  const at = text.lastIndexOf('@')
  if (at > scheme) {
    const credentials = text.slice(scheme === -1 ? 0 : scheme + 3, at)
    const colon = credentials.indexOf(':')
    // A user alone is no secret, and taken for one it would be cut out of every line that says its name.
    if (colon !== -1) secrets.push(credentials.slice(colon + 1))
  }
  for (const match of text.matchAll(/(?:pass|secret|token)\w*\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^\s&;]+))/gi)) {
    secrets.push(match[1] ?? match[2] ?? '')
  }
  return secrets.filter((secret) => secret !== '').flatMap((secret) => [secret, decoded(secret)])
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
