/**
 * MONGO_URL as far as it is judged before the driver is loaded: a wrong address stops the start, and what is said of it
 * never repeats the text, which may hold a password.
 */

export interface Address {
  readonly hosts: readonly string[]
  /** True for `mongodb+srv`: the hosts are looked up in DNS. */
  readonly srv: boolean
  /** Behind the slash; undefined where there is none. */
  readonly database: string | undefined
}

const FORM = "a URL such as 'mongodb://host:27017/database' or 'mongodb+srv://host/database'"

export function parseAddress(text: string): Address | { readonly expected: string } {
  const match = /^mongodb(\+srv)?:\/\/([^/?]*)(?:\/([^?]*))?(?:\?.*)?$/.exec(text)
  if (match === null) return { expected: FORM }
  const [, scheme, authority = '', path = ''] = match
  if (authority.slice(0, authority.lastIndexOf('@')).includes('@'))
    return { expected: 'a password with %40 in place of @' }
  const hosts = authority.slice(authority.lastIndexOf('@') + 1).split(',')
  const srv = scheme !== undefined
  if (hosts.some((host) => !isHost(host, srv))) return { expected: `${FORM}; hosts are separated by commas` }
  if (srv && hosts.length > 1) return { expected: 'one host behind mongodb+srv://, and no port' }
  const database = decoded(path)
  if (database === undefined) return { expected: FORM }
  if (database !== '' && !isDatabaseName(database)) return { expected: DATABASE_NAME }
  return { hosts, srv, database: database === '' ? undefined : database }
}

/** What MongoDB takes as the name of a database, on every system that it runs on. */
export const DATABASE_NAME = 'a name of 1 to 63 bytes without space and / \\ . " $ * < > : | ?'

export function isDatabaseName(name: string): boolean {
  return Buffer.byteLength(name) <= 63 && /^[^\s/\\."$*<>:|?\0]+$/.test(name)
}

function isHost(host: string, srv: boolean): boolean {
  const match = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)(?::(\d{1,5}))?$/.exec(host)
  if (match === null) return false
  const port = match[1]
  return port === undefined || (!srv && Number(port) >= 1 && Number(port) <= 65_535)
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
