/** Opens the port and says where it is, or what to do about it when it cannot be opened. */
import type { AppServer } from './http/server.ts'
import type { AppValues } from '../config/app-section.ts'
import { SluiceError, toError } from '../core/errors.ts'

/** Where the app listens. */
export interface Address {
  readonly host: string
  readonly port: number
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string
}

const HINTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'Another process has this port: stop it, or set APP_PORT.',
  EACCES: 'Ports below 1024 need a privilege: set APP_PORT to a higher one.',
  EADDRNOTAVAIL: 'No interface of this machine has that address: set APP_HOST.',
}

/** Rejects with SLUICE_LISTEN. */
export async function listen(
  { fastify, server }: AppServer,
  { host, port }: Pick<AppValues, 'host' | 'port'>,
): Promise<Address> {
  try {
    await fastify.listen({ port, host })
  } catch (thrown) {
    const cause = toError(thrown)
    const code = 'code' in cause ? cause.code : undefined
    throw new SluiceError('SLUICE_LISTEN', `cannot listen on ${host}:${port}: ${cause.message}`, {
      cause,
      hint: HINTS[String(code)] ?? 'Check APP_HOST and APP_PORT.',
    })
  }
  const bound = server.address()
  const actual = typeof bound === 'object' && bound !== null ? bound.port : port
  return { host, port: actual, url: `http://${reachable(host)}:${actual}` }
}

/** The name by which this machine reaches an address that it listens on. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}
