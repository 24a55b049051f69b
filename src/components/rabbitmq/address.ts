/** MQ_URL and MQ_HOST: one broker, or the nodes of a cluster separated by commas. */

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Target {
  /** At least one; tried in turn. */
  readonly addresses: readonly Address[]
  readonly tls: boolean
  readonly user?: string
  readonly password?: string
  readonly vhost?: string
}

type Wrong = { readonly expected: string }

const PORT = 5_672
const TLS_PORT = 5_671
const URL_PARTS = /^(amqps?):\/\/(?:([^@/?]*)@)?([^/?@]+)(?:\/([^/?]*))?(\?.*)?$/i

/** The target, or what was expected instead. The reason never repeats the text, which may hold a password. */
export function parseUrl(text: string): Target | Wrong {
  const match = URL_PARTS.exec(text)
  if (match === null) {
    return {
      expected:
        "a URL such as 'amqp://user:password@host:5672/vhost'; nodes of a cluster as host1:5672,host2:5672; write special characters of a password as %40 (@), %3A (:), %2F (/)",
    }
  }
  const [, scheme = '', credentials = '', hosts = '', path, query] = match
  if (query !== undefined) return { expected: 'no ?parameters; each is a setting of its own' }
  const tls = scheme.toLowerCase() === 'amqps'
  const addresses = parseHosts(hosts, tls ? TLS_PORT : PORT)
  if ('expected' in addresses) return addresses
  const [user, password] = credentials.split(':', 2).map(decode)
  const vhost = path === undefined || path === '' ? undefined : decode(path)
  if ([credentials === '' ? '' : user, password ?? '', vhost ?? ''].includes(BROKEN)) {
    return { expected: 'correct %-escapes: write % as %25' }
  }
  return {
    addresses,
    tls,
    ...(user === undefined || user === '' ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(vhost === undefined ? {} : { vhost }),
  }
}

/** `host`, `host:port`, `[::1]:port`, several separated by commas. */
export function parseHosts(text: string, defaultPort: number): readonly Address[] | Wrong {
  const addresses: Address[] = []
  for (const part of text.split(',').map((each) => each.trim())) {
    const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/[\]@]+))(?::(\d{1,5}))?$/i.exec(part)
    const host = match?.[1] ?? match?.[2]
    const port = match?.[3] === undefined ? defaultPort : Number(match[3])
    if (host === undefined || port < 1 || port > 65_535) {
      return {
        expected: "hosts such as 'localhost', 'mq1:5672,mq2:5672' or '[::1]:5672'; credentials go elsewhere",
      }
    }
    addresses.push({ host, port })
  }
  return addresses
}

/** The port of plain AMQP, or of AMQP over TLS. */
export const defaultPort = (tls: boolean): number => (tls ? TLS_PORT : PORT)

/** For people: never with credentials. */
export function describeAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** No text decodes to it. */
const BROKEN = '\0'

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return BROKEN
  }
}
