/** Addresses of brokers: `host:port`, `host`, `[::1]:9092`, or the same behind `kafka://`. */

export interface Broker {
  readonly host: string
  readonly port: number
}

const DEFAULT_PORT = 9_092
const EXPECTED = "addresses such as 'host:9092', separated by commas"

export function parseBrokers(texts: readonly string[]): readonly Broker[] | { readonly expected: string } {
  const brokers: Broker[] = []
  for (const text of texts) {
    const broker = parseBroker(text)
    if (broker === undefined) return { expected: EXPECTED }
    brokers.push(broker)
  }
  return brokers.length === 0 ? { expected: EXPECTED } : brokers
}

function parseBroker(text: string): Broker | undefined {
  const bare = text.replace(/^kafka:\/\//, '')
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?\/?$/i.exec(bare)
  if (match === null) return undefined
  const [, v6, name, digits] = match
  const port = digits === undefined ? DEFAULT_PORT : Number(digits)
  return port >= 1 && port <= 65_535 ? { host: (v6 ?? name)!, port } : undefined
}

export function describeBrokers(brokers: readonly Broker[]): string {
  return brokers
    .map(({ host, port }) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`))
    .join(',')
}
