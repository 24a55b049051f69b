/** Headers in the forms in which `writeHead` takes them, their names in whatever case. */

/**
 * An object, a list of names and values in turn, a list of pairs, or nothing. Also Node's own table of those that were set
 * one by one, whose names are in lower case.
 */
export type GivenHeaders = Readonly<Record<string, unknown>> | readonly unknown[] | null | undefined

/** Is a header of this name among them? The name is in lower case. Asked for each response, so it makes nothing. */
export function hasGiven(headers: GivenHeaders, name: string): boolean {
  if (headers === undefined || headers === null) return false
  if (isList(headers)) return withoutGiven(headers, name) !== headers
  for (const key in headers) if (key.length === name.length && key.toLowerCase() === name) return true
  return false
}

/** The same in the same form without those of this name; what was given stays as it is. */
export function withoutGiven(headers: GivenHeaders, name: string): GivenHeaders {
  const isIt = (key: unknown): boolean => typeof key === 'string' && key.toLowerCase() === name
  if (headers === undefined || headers === null) return headers
  if (!isList(headers)) {
    return Object.fromEntries(Object.entries(headers).filter(([key]) => !isIt(key)))
  }
  const kept = headers.filter((part, at) => !isIt(Array.isArray(part) ? part[0] : headers[at - (at % 2)]))
  return kept.length === headers.length ? headers : kept
}

/** Array.isArray, which does not tell read-only arrays from objects. */
function isList(headers: object): headers is readonly unknown[] {
  return Array.isArray(headers)
}
