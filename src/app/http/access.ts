/**
 * Who may see detail: `/health` in full, `/metrics`, `/openapi.json`. Everyone else gets one word, or nothing.
 *
 * Local means: the connection comes from a loopback address, no proxy says that it speaks for another, and the name
 * asked for is one of this machine. The last keeps a web page from reading it through a name that it points here.
 *
 * A proxy on this machine that adds none of these headers, and asks in HTTP/1.1 by the address that it was given, cannot
 * be told from this machine; SECURITY.md says what to do there.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { hostName, isLoopback } from '../../core/host-name.ts'

export interface AccessOptions {
  readonly detail: 'local' | 'public' | 'token'
  readonly token: string | undefined
  /** Further names of this machine. */
  readonly hosts: readonly string[]
}

export function detailAccess(options: AccessOptions): (request: FastifyRequest) => boolean {
  const { detail, token } = options
  const expected = token === undefined ? undefined : digest(token)
  const names = new Set(['localhost', ...options.hosts])
  return (request) => {
    if (detail === 'public') return true
    if (expected !== undefined && hasToken(request, expected)) return true
    return detail === 'local' && isLocal(request, names)
  }
}

/** Equal lengths and constant time, whatever was sent. */
function hasToken(request: FastifyRequest, expected: Buffer): boolean {
  const given = /^Bearer (.{1,512})$/.exec(request.headers.authorization ?? '')?.[1]
  return given !== undefined && timingSafeEqual(digest(given), expected)
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** What proxies add. */
const PROXY_HEADERS = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
] as const

function isLocal(request: FastifyRequest, names: ReadonlySet<string>): boolean {
  const { headers, httpVersion, socket } = request.raw
  if (!isLoopback(socket.remoteAddress ?? '')) return false
  if (PROXY_HEADERS.some((header) => headers[header] !== undefined)) return false
  // What people ask with speaks HTTP/1.1; nginx before 1.29.7, which adds no header unless it is told to, speaks 1.0.
  if (httpVersion === '1.0') return false
  const name = hostName(headers.host ?? '')
  return names.has(name) || isLoopback(name)
}
