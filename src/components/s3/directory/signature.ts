/** URLs that the app itself serves: what they allow is in them, signed with a key that only we have. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { PresignRequest } from '../store.ts'

/** What a URL allows. */
export interface Grant {
  readonly method: 'GET' | 'PUT'
  readonly key: string
  /** Seconds since 1970. */
  readonly expires: number
  readonly contentType: string | undefined
  readonly contentDisposition: string | undefined
  readonly size: number | undefined
}

const NAMES = ['key', 'expires', 'type', 'disposition', 'size', 'signature'] as const

export function grantOf(request: PresignRequest): Grant {
  const { method, key, expiresAt, contentType, contentDisposition, size } = request
  return {
    method,
    key,
    expires: Math.floor(expiresAt.getTime() / 1_000),
    contentType,
    contentDisposition,
    size,
  }
}

export function signedQuery(grant: Grant, component: string, secret: Buffer): string {
  const query = new URLSearchParams({ key: grant.key, expires: String(grant.expires) })
  if (grant.contentType !== undefined) query.set('type', grant.contentType)
  if (grant.contentDisposition !== undefined) query.set('disposition', grant.contentDisposition)
  if (grant.size !== undefined) query.set('size', String(grant.size))
  query.set('signature', sign(grant, component, secret).toString('base64url'))
  return query.toString()
}

/** The grant of a query; undefined where it was not signed here as it is. Whether it has expired is another question. */
export function verifiedGrant(
  method: 'GET' | 'PUT',
  query: URLSearchParams,
  component: string,
  secret: Buffer,
): Grant | undefined {
  // One of each: what is signed must be what is used.
  for (const name of query.keys())
    if (!(NAMES as readonly string[]).includes(name) || query.getAll(name).length !== 1) return undefined
  const expires = wholeNumber(query.get('expires'))
  const key = query.get('key')
  const size = query.has('size') ? wholeNumber(query.get('size')) : undefined
  if (expires === undefined || key === null || (query.has('size') && size === undefined)) return undefined
  const grant: Grant = {
    method,
    key,
    expires,
    contentType: query.get('type') ?? undefined,
    contentDisposition: query.get('disposition') ?? undefined,
    size,
  }
  const expected = sign(grant, component, secret)
  const given = Buffer.from(query.get('signature') ?? '', 'base64url')
  return given.length === expected.length && timingSafeEqual(given, expected) ? grant : undefined
}

/** JSON keeps the parts apart: no two grants have the same text. */
function sign(grant: Grant, component: string, secret: Buffer): Buffer {
  const { method, key, expires, contentType = null, contentDisposition = null, size = null } = grant
  const text = JSON.stringify([
    'sluice.s3',
    component,
    method,
    key,
    expires,
    contentType,
    contentDisposition,
    size,
  ])
  return createHmac('sha256', secret).update(text).digest()
}

function wholeNumber(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined
}
