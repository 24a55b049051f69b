/**
 * The route behind presigned URLs. What is served was stored by anybody who had a URL, and comes from the app's own origin:
 * so browsers are told to run nothing of it.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Readable } from 'node:stream'
import type { S3 } from '../api.ts'
import type { ByteRange, ObjectInfo } from '../object.ts'
import { verifiedGrant, type Grant } from './signature.ts'

export const OBJECTS_PATH = '/_objects'

const MAX_PUT_BYTES = 5 * 1024 ** 3

export interface RouteParts {
  readonly component: string
  /** Undefined before the directory is open. */
  readonly secret: () => Buffer | undefined
  readonly now: () => number
  /** With stored keys. */
  readonly api: Pick<S3, 'download' | 'head' | 'upload'>
  /** Rejects while the component is not ready. */
  readonly ready: () => PromiseLike<unknown>
}

/** Told to the client as it is. */
class Refused extends Error {
  readonly statusCode: number
  readonly expose = true
  readonly code: string

  constructor(statusCode: number, code: string, message: string) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

export function addRoutes(http: FastifyInstance, parts: RouteParts): void {
  void http.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers()
    // Bodies are objects: whatever they are, they go on as they come.
    scope.addContentTypeParser('*', (_request, payload, parsed) => parsed(null, payload))
    const url = `${OBJECTS_PATH}/${encodeURIComponent(parts.component)}`
    const schema = { hide: true } as object
    // Fastify's own HEAD route would say that there are no bytes.
    scope.get(url, { schema, exposeHeadRoute: false }, (request, reply) => serve(request, reply, parts))
    scope.head(url, { schema }, (request, reply) => serve(request, reply, parts))
    scope.put(url, { schema }, (request, reply) => take(request, reply, parts))
    done()
  })
}

async function serve(request: FastifyRequest, reply: FastifyReply, parts: RouteParts): Promise<FastifyReply> {
  const grant = await grantOf('GET', request, parts)
  if (request.method === 'HEAD') {
    const info = await parts.api.head(grant.key)
    return describe(reply, grant, info, info.size).send()
  }
  const range = rangeOf(request.headers.range)
  const { info, offset, length, body } = await parts.api.download(
    grant.key,
    range === undefined ? {} : { range },
  )
  if (range !== undefined)
    void reply.code(206).header('content-range', `bytes ${offset}-${offset + length - 1}/${info.size}`)
  return describe(reply, grant, info, length).send(body)
}

function describe(reply: FastifyReply, grant: Grant, info: ObjectInfo, length: number): FastifyReply {
  const disposition = grant.contentDisposition ?? info.contentDisposition
  if (disposition !== undefined) void reply.header('content-disposition', disposition)
  for (const [name, value] of Object.entries(info.metadata)) void reply.header(`x-amz-meta-${name}`, value)
  return reply.headers({
    'content-type': grant.contentType ?? info.contentType,
    'content-length': length,
    etag: `"${info.etag}"`,
    'last-modified': info.lastModified.toUTCString(),
    'accept-ranges': 'bytes',
    'cache-control': info.cacheControl ?? 'private, no-cache',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; sandbox",
  })
}

async function take(request: FastifyRequest, reply: FastifyReply, parts: RouteParts): Promise<FastifyReply> {
  const grant = await grantOf('PUT', request, parts)
  const size = lengthOf(request)
  const contentType = request.headers['content-type']
  if (grant.size !== undefined && grant.size !== size)
    throw new Refused(403, 'SIGNATURE_MISMATCH', `The URL was signed for ${grant.size} bytes.`)
  if (grant.contentType !== undefined && grant.contentType !== contentType)
    throw new Refused(403, 'SIGNATURE_MISMATCH', 'The URL was signed for another content-type.')
  const body = (request.body ?? '') as Readable | string
  const attributes = contentType === undefined ? {} : { contentType }
  const stored = await parts.api.upload(grant.key, body, { size, ...attributes })
  return reply.header('etag', `"${stored.etag}"`).code(200).send()
}

/** Throws unless the URL was signed by us for this method, and has not expired. */
async function grantOf(method: 'GET' | 'PUT', request: FastifyRequest, parts: RouteParts): Promise<Grant> {
  const secret = parts.secret()
  // It says why, and is answered 503.
  if (secret === undefined) await parts.ready()
  const query = request.url.indexOf('?')
  const search = new URLSearchParams(query === -1 ? '' : request.url.slice(query + 1))
  const grant = secret && verifiedGrant(method, search, parts.component, secret)
  if (grant === undefined)
    throw new Refused(403, 'SIGNATURE_INVALID', 'The URL was not signed by this app as it is.')
  if (grant.expires * 1_000 <= parts.now()) throw new Refused(403, 'URL_EXPIRED', 'The URL has expired.')
  return grant
}

/** As S3, which takes no body of unknown length. */
function lengthOf(request: FastifyRequest): number {
  const text = request.headers['content-length']
  if (text === undefined || !/^\d+$/.test(text))
    throw new Refused(411, 'LENGTH_REQUIRED', 'The content-length must be sent.')
  const size = Number(text)
  if (size > MAX_PUT_BYTES)
    throw new Refused(413, 'TOO_LARGE', `At most ${MAX_PUT_BYTES} bytes are taken at once.`)
  return size
}

/** One range; whatever else it is, all is sent, as the standard allows. */
function rangeOf(header: string | undefined): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '')
  if (match === null) return undefined
  const [from, to] = [match[1]!, match[2]!]
  if (from === '') return to === '' || Number(to) === 0 ? undefined : { last: Number(to) }
  if (to === '') return { start: Number(from) }
  return Number(to) < Number(from) ? undefined : { start: Number(from), end: Number(to) }
}
