/** REDIS_ADDR: `host:port`, `host`, a `redis://` or `rediss://` URL, or `unix:///path`. */

export interface Address {
  readonly host: string
  readonly port: number
  readonly tls: boolean
  /** A Unix socket instead of host and port. */
  readonly path?: string
  readonly username?: string
  readonly password?: string
  readonly db?: number
}

const DEFAULT_PORT = 6379

/** The address, or what was expected instead. The reason never repeats the text, which may hold a password. */
export function parseAddress(text: string): Address | { readonly expected: string } {
  if (/^rediss?:\/\//i.test(text)) return parseUrl(text)
  if (text.startsWith('unix://')) {
    const path = text.slice('unix://'.length)
    return path.startsWith('/')
      ? { host: '', port: 0, tls: false, path }
      : { expected: "an absolute path after 'unix://'" }
  }
  if (text.includes('://')) return { expected: "a URL that begins with 'redis://', 'rediss://' or 'unix://'" }
  if (text.includes('@')) {
    return {
      expected: "host:port; put credentials into REDIS_PASSWORD, or write 'redis://user:password@host'",
    }
  }
  if (text.includes(',')) return { expected: 'one address; Redis Cluster is not supported' }
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/i.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3])
  if (host === undefined) return { expected: "host:port, such as 'localhost:6379' or '[::1]:6379'" }
  return validPort(port) ? { host, port, tls: false } : { expected: 'a port between 1 and 65535' }
}

function parseUrl(text: string): Address | { readonly expected: string } {
  const url = URL.parse(text)
  if (url === null || url.hostname === '') {
    return {
      expected:
        "a URL such as 'redis://user:password@host:6379/0'; write special characters of a password as %40 (@), %3A (:), %2F (/), %23 (#)",
    }
  }
  const db = url.pathname === '' || url.pathname === '/' ? undefined : url.pathname.slice(1)
  if (db !== undefined && !/^\d{1,5}$/.test(db)) return { expected: 'a database number after the last /' }
  const username = decode(url.username)
  const password = decode(url.password)
  if (username === undefined || password === undefined) {
    return { expected: 'credentials with correct %-escapes: write % as %25' }
  }
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port)
  if (!validPort(port)) return { expected: 'a port between 1 and 65535' }
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    tls: url.protocol === 'rediss:',
    ...(username === '' ? {} : { username }),
    ...(password === '' ? {} : { password }),
    ...(db === undefined ? {} : { db: Number(db) }),
  }
}

/** Where it is, for people and metrics: never with credentials. */
export function describeAddress(address: Address): string {
  if (address.path !== undefined) return `unix://${address.path}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `${host}:${address.port}`
}

const validPort = (port: number): boolean => port >= 1 && port <= 65_535

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
