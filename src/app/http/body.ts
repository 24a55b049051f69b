/**
 * The parsers of JSON and text bodies: Fastify's own behind a limit of nesting and a refusal of compressed bodies. `JSON.parse` builds half a million levels without
 * complaint, and the first function that then walks them recursively, such as a validator or `JSON.stringify`, breaks.
 */
import type { FastifyBodyParser, FastifyInstance, FastifyRequest } from 'fastify'

const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain'
/** Characters of a header that an answer repeats. */
const MAX_SHOWN = 40
const QUOTE = 0x22
const BACKSLASH = 0x5c

/** A body that is refused before it is parsed, with what the client is told. */
class RefusedBody extends Error {
  override readonly name = 'RefusedBody'
  readonly statusCode: number
  readonly expose = true
  readonly code: string

  constructor(statusCode: number, code: string, message: string) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

/**
 * Puts the limits before Fastify's parsers, for routes with and without a schema. `maxDepth` is asked per body, since the
 * configuration comes later. A parser that a plugin adds replaces the one here, as it would Fastify's.
 */
export function limitBodies(app: FastifyInstance, maxDepth: () => number): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  const limited: FastifyBodyParser<string> = (request, body, done) => {
    refuseEncoded(request)
    const limit = maxDepth()
    if (isDeeper(body, limit)) {
      done(new RefusedBody(400, 'BODY_TOO_DEEP', `The body is nested deeper than ${limit} levels.`))
      return
    }
    // Fastify's parser answers through `done`; its type allows a promise as well.
    return parse(request, body, done)
  }
  const text: FastifyBodyParser<string> = (request, body, done) => {
    refuseEncoded(request)
    done(null, body)
  }
  app.removeContentTypeParser([JSON_TYPE, TEXT_TYPE])
  app.addContentTypeParser(JSON_TYPE, { parseAs: 'string' }, limited)
  app.addContentTypeParser(TEXT_TYPE, { parseAs: 'string' }, text)
  stayReplaceable(app)
}

/**
 * Nothing is decompressed here. A plugin that does so in `preParsing` takes the header away, as the plugins for it do, and
 * its body is parsed. Throws, which Fastify answers.
 */
function refuseEncoded(request: FastifyRequest): void {
  const encoding = request.headers['content-encoding']
  if (encoding === undefined || encoding.trim().toLowerCase() === 'identity') return
  const shown = JSON.stringify(encoding.slice(0, MAX_SHOWN))
  const text = `A body with the content-encoding ${shown} is not accepted; send it as it is.`
  throw new RefusedBody(415, 'UNSUPPORTED_ENCODING', text)
}

/** Fastify lets a parser replace its default ones, but no other; ours are the default here. Scopes inherit this. */
function stayReplaceable(app: FastifyInstance): void {
  const replaced = { [JSON_TYPE]: new WeakSet(), [TEXT_TYPE]: new WeakSet() }
  const add = app.addContentTypeParser as (this: unknown, type: unknown, ...rest: unknown[]) => unknown
  const isIn = (scopes: WeakSet<object>, scope: object | null): boolean =>
    scope !== null && (scopes.has(scope) || isIn(scopes, Object.getPrototypeOf(scope) as object | null))
  app.addContentTypeParser = function (this: FastifyInstance, type: unknown, ...rest: unknown[]) {
    const named = [type].flat().map((one) => String(one).trim().toLowerCase())
    for (const ours of [JSON_TYPE, TEXT_TYPE] as const) {
      if (!named.includes(ours) || isIn(replaced[ours], this)) continue
      this.removeContentTypeParser(ours)
      replaced[ours].add(this)
    }
    return add.call(this, type, ...rest)
  } as FastifyInstance['addContentTypeParser']
}

/**
 * Are objects and arrays of this text nested deeper than `limit`? One pass, strings skipped; stops at the first level too
 * many. A body of 100 KB takes 0.1 to 0.2 ms, where JSON.parse takes 0.1 to 0.8. Of what is not JSON it says nothing.
 */
export function isDeeper(text: string, limit: number): boolean {
  if (text.length <= limit) return false
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) {
      at = endOfString(text, at)
      if (at < 0) return false
    } else if ((code | 0x20) === 0x7b) {
      // `[` and `{` differ in one bit, and so do `]` and `}`.
      if (++depth > limit) return true
    } else if ((code | 0x20) === 0x7d) {
      depth--
    }
  }
  return false
}

/** Where the string that opens at `start` closes; -1 if it does not. */
function endOfString(text: string, start: number): number {
  let end = start
  for (;;) {
    end = text.indexOf('"', end + 1)
    if (end < 0) return -1
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end
  }
}
