import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { createGunzip, gunzipSync, gzipSync } from 'node:zlib'
import { z } from 'zod'
import { createApp, type App } from '../../src/app/app.ts'
import { hostRule } from '../../src/app/http/hosts.ts'
import type { AppOptions } from '../../src/app/options.ts'
import type { Components, Http } from '../../src/app/service.ts'
import { SluiceError } from '../../src/core/errors.ts'
import { currentContext } from '../../src/telemetry/context.ts'
import { recordingLogger, type RecordedLine } from '../telemetry/recording-logger.ts'
import { serve } from './serve.ts'

/** Sends bytes as they are and gives all that comes back until the server closes. */
function raw(port: number, ...parts: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => (text += String(chunk)))
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
    for (const part of parts) socket.write(part, 'latin1')
  })
}

const problemOf = (text: string): Record<string, unknown> =>
  JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)) as Record<string, unknown>

test('a body that does not fit its schema is a 400 with path and reason, and a fitting one has its type', async () => {
  const Todo = z.object({ title: z.string().min(1), tags: z.array(z.string()).default([]) })
  await using app = await serve((http) => {
    http.post(
      '/todos',
      { schema: { body: Todo, querystring: z.object({ dry: z.coerce.boolean().optional() }) } },
      (request) => {
        const title: string = request.body.title
        return { title, tags: request.body.tags.length }
      },
    )
  })
  const post = (body: unknown) =>
    fetch(`${app.address.url}/todos`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': 'from-the-client' },
      body: JSON.stringify(body),
    })
  assert.deepEqual(await (await post({ title: 'a' })).json(), { title: 'a', tags: 0 })
  const bad = await post({ title: '', tags: [1] })
  assert.equal(bad.status, 400)
  assert.match(bad.headers.get('content-type') ?? '', /^application\/problem\+json/)
  assert.equal(bad.headers.get('x-request-id'), 'from-the-client')
  const problem = (await bad.json()) as { code: string; request_id: string; errors: { path: string }[] }
  assert.equal(problem.code, 'INVALID_REQUEST')
  assert.equal(problem.request_id, 'from-the-client')
  assert.deepEqual(
    problem.errors.map(({ path }) => path),
    ['body.title', 'body.tags.0'],
  )
})

test('a fault says which part it is in, and repeats what stands in the address but nothing else', async () => {
  await using app = await serve((http) => {
    const schema = {
      params: z.object({ id: z.coerce.number() }),
      querystring: z.object({ limit: z.coerce.number().max(100), need: z.string().optional() }),
      headers: z.object({ 'x-key': z.enum(['a']) }),
      body: z.object({ password: z.string().max(3) }),
    }
    http.post('/:id', { schema }, () => ({ ok: true }))
  })
  const post = async (path: string, key = 'a', password = 'x') => {
    const response = await fetch(app.address.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-key': key },
      body: JSON.stringify({ password }),
    })
    const text = await response.text()
    const { detail, errors } = JSON.parse(text) as {
      detail: string
      errors: { path: string; reason: string }[]
    }
    assert.equal(response.status, 400)
    return { detail, text, path: errors[0]?.path, reason: errors[0]?.reason }
  }
  const params = await post('/seven?limit=1')
  assert.equal(params.detail, 'The parameters of the path do not have the expected form.')
  assert.equal(params.path, 'params.id')
  assert.equal(params.reason, 'Invalid input: expected number, got "seven"')
  const query = await post('/7?limit=ten')
  assert.equal(query.detail, 'The query does not have the expected form.')
  assert.equal(query.reason, 'Invalid input: expected number, got "ten"')
  assert.match((await post('/7?limit=1000')).reason ?? '', /<=100, got "1000"$/)
  assert.match((await post(`/7?limit=${'y'.repeat(1_000)}`)).reason ?? '', /got "y{40}…"$/)
  assert.equal((await post('/7')).reason, 'Invalid input: expected number, got nothing')
  const headers = await post('/7?limit=1', 'secret')
  assert.equal(headers.detail, 'The headers do not have the expected form.')
  assert.doesNotMatch(headers.text, /secret/)
  const body = await post('/7?limit=1', 'a', 'secret')
  assert.equal(body.detail, 'The body does not have the expected form.')
  assert.doesNotMatch(body.text, /secret/)
})

test('plain JSON Schema works beside Standard Schema', async () => {
  await using app = await serve((http) => {
    const body = { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } }
    http.post('/plain', { schema: { body } }, () => ({ ok: true }))
  })
  const post = (body: string) =>
    fetch(`${app.address.url}/plain`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
  assert.equal((await post('{"n":1}')).status, 200)
  assert.equal((await post('{"n":"x"}')).status, 400)
  assert.equal((await post('{"n":')).status, 400)
  assert.equal((await post('{"n":1,"__proto__":{"x":1}}')).status, 400)
})

test('a reply passes through its schema, so that what it does not name is not sent', async () => {
  await using app = await serve((http) => {
    const User = z.object({ id: z.string() })
    http.get('/user', { schema: { response: { 200: User } } }, () => ({ id: '1', passwordHash: 'secret' }))
  })
  assert.deepEqual(await (await fetch(`${app.address.url}/user`)).json(), { id: '1' })
})

test('errors say a code and the id of the request, and nothing of the inside', async () => {
  const errors: Record<string, unknown> = {
    sql: Object.assign(new Error('select * from users where password = 1 at db.internal:5432'), {
      code: '42P01',
    }),
    query: new SluiceError('SLUICE_QUERY', 'relation "secret_table" does not exist'),
    away: new SluiceError('SLUICE_UNAVAILABLE', 'connect ECONNREFUSED 10.0.0.5:5432'),
    late: new SluiceError('SLUICE_TIMEOUT', '"db: query" timed out after 1000 ms'),
    open: new SluiceError('SLUICE_BREAKER_OPEN', 'open', { details: { retryAfterMs: 7_500 } }),
    busy: new SluiceError('SLUICE_RATE_LIMITED', 'ten a minute'),
    soon: new SluiceError('SLUICE_RATE_LIMITED', 'ten a minute', { details: { retryAfterMs: 3 } }),
    later: new SluiceError('SLUICE_RATE_LIMITED', 'ten a day', { details: { retryAfterMs: 3_600_000 } }),
    mine: Object.assign(new Error('There is no such todo.'), {
      statusCode: 404,
      expose: true,
      code: 'TODO_NOT_FOUND',
    }),
    exposed: Object.assign(new Error('Not yours.'), { status: 403, expose: true }),
    sdk: Object.assign(new Error('401 for key secret at https://u:secret@internal:8443/v1'), { status: 401 }),
    cloud: Object.assign(new Error('no such bucket: secret'), { statusCode: 404, code: 'NoSuchBucket' }),
    nul: new SluiceError('SLUICE_QUERY', 'invalid byte sequence for encoding "UTF8": 0x00', {
      details: { sqlstate: '22021' },
    }),
    inside: Object.assign(new Error('secret'), { statusCode: 503, expose: true }),
    twice: new SluiceError('SLUICE_CONFLICT', 'duplicate key of secret_key', {
      details: { constraint: 'secret_key', table: 'secret_table' },
    }),
    text: 'just text',
  }
  await using app = await serve((http) => {
    http.get('/:what', (request) => {
      // eslint-disable-next-line typescript/only-throw-error -- a route may throw anything
      throw errors[(request.params as { what: string }).what]
    })
  })
  const table: readonly (readonly [string, number, string, string | null])[] = [
    ['sql', 500, 'INTERNAL', null],
    ['query', 500, 'INTERNAL', null],
    ['away', 503, 'SLUICE_UNAVAILABLE', '2'],
    ['open', 503, 'SLUICE_BREAKER_OPEN', '8'],
    ['late', 504, 'SLUICE_TIMEOUT', null],
    ['busy', 429, 'SLUICE_RATE_LIMITED', '2'],
    ['soon', 429, 'SLUICE_RATE_LIMITED', '1'],
    ['later', 429, 'SLUICE_RATE_LIMITED', '60'],
    ['mine', 404, 'TODO_NOT_FOUND', null],
    ['exposed', 403, 'FORBIDDEN', null],
    ['sdk', 500, 'INTERNAL', null],
    ['cloud', 500, 'INTERNAL', null],
    ['nul', 400, 'INVALID_REQUEST', null],
    ['inside', 500, 'INTERNAL', null],
    ['twice', 409, 'SLUICE_CONFLICT', null],
    ['text', 500, 'INTERNAL', null],
  ]
  for (const [what, status, code, retryAfter] of table) {
    const response = await fetch(`${app.address.url}/${what}`)
    const text = await response.text()
    assert.equal(response.status, status, what)
    assert.equal(response.headers.get('retry-after'), retryAfter, what)
    const problem = JSON.parse(text) as Record<string, unknown>
    assert.equal(problem['code'], code)
    assert.equal(problem['request_id'], response.headers.get('x-request-id'))
    assert.doesNotMatch(text, /select|secret|10\.0\.0|5432|at file|node_modules|stack/, what)
  }
})

test('an error of an SDK with a status is in the log, under the id of the request that it broke', async () => {
  const lines: RecordedLine[] = []
  await using app = await serve(
    (http) =>
      void http.get('/', () => {
        throw Object.assign(new Error('401 Incorrect API key'), { status: 401 })
      }),
    { logger: recordingLogger(lines) },
  )
  const id = (await fetch(app.address.url)).headers.get('x-request-id')
  const line = lines.find(({ requestId, level }) => requestId === id && level === 'error')
  assert.match(inspect(line?.['err']), /401 Incorrect API key/)
})

test('a body whose stream breaks is a 400 that does not repeat why, also where a plugin unpacks it', async () => {
  await using app = await serve((http) => {
    http.addHook('preParsing', async (request, _reply, payload) => {
      delete request.headers['content-encoding']
      return payload.pipe(createGunzip())
    })
    http.post('/', () => ({ ok: true }))
  })
  const response = await fetch(app.address.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    body: 'this is not gzip',
  })
  assert.equal(response.status, 400)
  const problem = (await response.json()) as Record<string, unknown>
  assert.equal(problem['code'], 'BODY_UNREADABLE')
  assert.equal(problem['detail'], 'The body could not be read to its end.')
})

test('an unknown route and a wrong address are problems too', async () => {
  await using app = await serve(() => {})
  const missing = await fetch(`${app.address.url}/nothing`)
  assert.equal(missing.status, 404)
  const { code, detail } = (await missing.json()) as { code: string; detail: string }
  assert.equal(code, 'NOT_FOUND')
  assert.equal(detail, 'There is no route GET /nothing.')
  const long = await fetch(`${app.address.url}/${'x'.repeat(1_000)}?token=secret`, { method: 'DELETE' })
  const text = await long.text()
  assert.match(text, /no route DELETE \/x{199}\./)
  assert.doesNotMatch(text, /secret/)
  const wrong = await fetch(`${app.address.url}/%E0%A4%A`)
  assert.equal(wrong.status, 400)
  assert.match(wrong.headers.get('content-type') ?? '', /problem\+json/)
})

test('the id of a request reaches what it starts; an id that is long or odd is replaced', async () => {
  await using app = await serve((http) => {
    http.get('/id', async (request) => {
      await new Promise((resolve) => setImmediate(resolve))
      return { context: currentContext()?.requestId, fastify: request.id }
    })
  })
  const get = async (id: string) => {
    const response = await fetch(`${app.address.url}/id`, { headers: { 'x-request-id': id } })
    const body = (await response.json()) as { context: string; fastify: string }
    assert.equal(body.context, body.fastify)
    assert.equal(response.headers.get('x-request-id'), body.context)
    return body.context
  }
  assert.equal(await get('abc-123'), 'abc-123')
  assert.notEqual(await get('x'.repeat(129)), 'x'.repeat(129))
  assert.notEqual(await get('a b\tc'), 'a b\tc')
  const ids = await Promise.all(Array.from({ length: 20 }, () => get('not plain!')))
  assert.equal(new Set(ids).size, 20)
})

test('a body over the limit, broken chunks and headers of 64 KB are refused, and the server serves on', async () => {
  await using app = await serve((http) => void http.post('/', () => ({ ok: true })))
  const { port } = app.address
  const declared = await raw(
    port,
    'POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n',
  )
  assert.match(declared, /^HTTP\/1.1 413 /)
  const chunks = `${(2 ** 20).toString(16)}\r\n${'x'.repeat(2 ** 20)}\r\n1\r\nx\r\n0\r\n\r\n`
  const sent = await raw(
    port,
    'POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
    chunks,
  )
  assert.match(sent, /^HTTP\/1.1 413 /)
  const broken = await raw(
    port,
    'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
  )
  assert.match(broken, /^HTTP\/1.1 400 /)
  assert.equal(problemOf(broken)['code'], 'BAD_REQUEST')
  const wide = await raw(port, `GET / HTTP/1.1\r\nhost: localhost\r\nx-wide: ${'y'.repeat(65_536)}\r\n\r\n`)
  assert.match(wide, /^HTTP\/1.1 431 /)
  assert.equal((await fetch(`${app.address.url}/livez`)).status, 200)
})

test('whoever sends a request too slowly is cut off with 408', async () => {
  await using app = await serve((http) => void http.get('/', () => ({ ok: true })), {
    http: { headersTimeout: '100ms' },
  })
  const text = await raw(app.address.port, 'GET / HTTP/1.1\r\nhost: localhost\r\nx-slow:')
  assert.match(text, /^HTTP\/1.1 408 /)
  assert.equal(problemOf(text)['code'], 'REQUEST_TIMEOUT')
})

test('a body that comes too slowly is cut off with 408', async () => {
  await using app = await serve((http) => void http.post('/', () => ({ ok: true })), {
    http: { headersTimeout: '100ms', requestTimeout: '1s' },
  })
  const text = await raw(
    app.address.port,
    'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n[1,',
  )
  assert.match(text, /^HTTP\/1.1 408 /)
  assert.equal(problemOf(text)['code'], 'REQUEST_TIMEOUT')
})

test('a request that gives its length twice over is refused, for it could smuggle another', async () => {
  let handled = 0
  await using app = await serve((http) => {
    http.post('/', () => ({ ok: true }))
    http.get('/smuggled', () => ++handled)
  })
  const text = await raw(
    app.address.port,
    'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n' +
      '0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
  )
  assert.match(text, /^HTTP\/1.1 400 /)
  assert.equal(problemOf(text)['code'], 'BAD_REQUEST')
  assert.equal(handled, 0)
})

test('connections beyond the limit are closed at once, and one that ends makes room', async () => {
  await using app = await serve((http) => void http.get('/', () => ({ ok: true })), {
    http: { maxConnections: 1 },
  })
  const { port } = app.address
  const held = connect(port, '127.0.0.1')
  held.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await once(held, 'data')
  const beyond = connect(port, '127.0.0.1').on('error', () => {})
  await once(beyond.resume(), 'close')
  assert.equal(beyond.bytesRead, 0)
  held.end('GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
  await once(held.resume(), 'close')
  const last = 'GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'
  // The server may see the end a moment after the client.
  const until = AbortSignal.timeout(10_000)
  let answer = ''
  while (answer === '') {
    until.throwIfAborted()
    answer = await raw(port, last).catch(() => '')
  }
  assert.match(answer, /^HTTP\/1.1 200 /)
})

test('an idle connection is closed after the keep-alive timeout, and not before it', async () => {
  await using app = await serve((http) => void http.get('/', () => ({ ok: true })), {
    http: { keepAliveTimeout: '1s' },
  })
  const began = performance.now()
  const text = await raw(app.address.port, 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
  const took = performance.now() - began
  assert.match(text, /^HTTP\/1.1 200 [^]*keep-alive: timeout=1/i)
  assert.ok(took >= 990 && took < 10_000, `${took} ms`)
})

test('pipelined requests are answered in order; HTTP/1.0 and absolute addresses work', async () => {
  await using app = await serve((http) => void http.get('/:n', (request) => request.params))
  const { port } = app.address
  const get = (n: number, rest = ''): string => `GET /${n} HTTP/1.1\r\nhost: localhost\r\n${rest}\r\n`
  const piped = await raw(port, get(1) + get(2) + get(3, 'connection: close\r\n'))
  assert.deepEqual(
    [...piped.matchAll(/\{"n":"(\d)"\}/g)].map(([, n]) => n),
    ['1', '2', '3'],
  )
  assert.match(await raw(port, 'GET /7 HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 [^]*\{"n":"7"\}$/)
  const absolute = await raw(
    port,
    'GET http://elsewhere.test/8 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
  )
  assert.match(absolute, /^HTTP\/1.1 (200|404) /)
})

test('the body limit of the configuration holds for the routes of services', async () => {
  await using app = await serve((http) => void http.post('/', () => ({ ok: true })), {
    env: { APP_BODY_LIMIT: '10b' },
  })
  const post = (body: string) =>
    fetch(`${app.address.url}/`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  assert.equal((await post('{"a":1}')).status, 200)
  assert.equal((await post('{"a":"0123456789"}')).status, 413)
})

test('JSON nested too deep is refused before it is parsed, whatever the schema; brackets in strings do not count', async () => {
  const nested = (levels: number, inside = '') => '['.repeat(levels) + inside + ']'.repeat(levels)
  const routes = (http: Http): void => {
    http.post('/free', () => ({ ok: true }))
    http.post('/zod', { schema: { body: z.unknown() } }, () => ({ ok: true }))
    http.post('/json', { schema: { body: {} } }, () => ({ ok: true }))
  }
  const poster = (app: { address: { url: string } }) => (path: string, body: string) =>
    fetch(app.address.url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  await using app = await serve(routes)
  const post = poster(app)
  for (const path of ['/free', '/zod', '/json']) {
    assert.equal((await post(path, nested(100))).status, 200, path)
    for (const levels of [101, 10_000, 500_000]) {
      const refused = await post(path, nested(levels))
      assert.equal(refused.status, 400, `${path} ${levels}`)
      assert.match(refused.headers.get('content-type') ?? '', /problem\+json/)
      const { code, detail } = (await refused.json()) as { code: string; detail: string }
      assert.equal(code, 'BODY_TOO_DEEP')
      assert.equal(detail, 'The body is nested deeper than 100 levels.')
    }
  }
  assert.equal((await post('/free', '{"a":'.repeat(101) + '1' + '}'.repeat(101))).status, 400)
  assert.equal((await post('/free', JSON.stringify(['[{"\\'.repeat(1_000), '"['.repeat(500)]))).status, 200)
  assert.equal((await post('/free', nested(99, `"\\\\",[[]]`))).status, 400)
  assert.equal((await post('/free', `[${'[],'.repeat(1_000)}0]`)).status, 200)

  await using configured = await serve(routes, { env: { APP_MAX_JSON_DEPTH: '3' } })
  assert.equal((await poster(configured)('/free', nested(3))).status, 200)
  assert.equal((await poster(configured)('/free', nested(4))).status, 400)
  await using coded = await serve(routes, { http: { maxJsonDepth: 2 } })
  assert.equal((await poster(coded)('/free', nested(3))).status, 400)
})

test('a parser of JSON of the service itself replaces the one with the limit', async () => {
  await using app = await serve((http) => {
    http.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
      done(null, { raw: String(body) })
    })
    http.post('/', (request) => request.body)
    void http.register((inner, _options, done) => {
      assert.throws(
        () => inner.addContentTypeParser('application/json', (_request, _body, next) => next(null)),
        /already present/,
      )
      done()
    })
  })
  const response = await fetch(app.address.url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '[1]',
  })
  assert.deepEqual(await response.json(), { raw: '[1]' })
})

test('a compressed body is a 415 that names the encoding and is never unpacked; identity and unpacking plugins pass', async () => {
  await using app = await serve((http) => {
    http.post('/', (request) => ({ body: request.body }))
    void http.register((inner, _options, done) => {
      inner.addHook('preParsing', async (request, _reply, payload) => {
        delete request.headers['content-encoding']
        delete request.headers['content-length']
        const packed = await payload.toArray()
        return Readable.from([gunzipSync(Buffer.concat(packed as Buffer[]))])
      })
      inner.post('/unpacked', (request) => ({ body: request.body }))
      done()
    })
  })
  const post = (
    body: string | Buffer<ArrayBuffer>,
    encoding: string,
    type = 'application/json',
    path = '/',
  ) =>
    fetch(app.address.url + path, {
      method: 'POST',
      headers: { 'content-type': type, 'content-encoding': encoding },
      body,
    })
  const bomb = gzipSync(Buffer.alloc(200 * 2 ** 20, '['))
  assert.ok(bomb.length < 2 ** 20)
  const before = process.memoryUsage.rss()
  const cases = [
    [gzipSync('{"a":1}'), 'gzip', 'application/json'],
    [gzipSync('text'), 'GZIP', 'text/plain'],
    [bomb, 'gzip', 'application/json'],
    ['{"a":1}', 'br', 'application/json'],
  ] as const
  for (const [body, encoding, type] of cases) {
    const refused = await post(body, encoding, type)
    assert.equal(refused.status, 415, encoding)
    assert.match(refused.headers.get('content-type') ?? '', /problem\+json/)
    const { code, detail } = (await refused.json()) as { code: string; detail: string }
    assert.equal(code, 'UNSUPPORTED_ENCODING')
    assert.ok(detail.includes(`"${encoding}"`), detail)
  }
  assert.ok(process.memoryUsage.rss() - before < 100 * 2 ** 20, 'the bomb was not unpacked')
  assert.deepEqual(await (await post('{"a":1}', 'identity')).json(), { body: { a: 1 } })
  const unpacked = await post(gzipSync('{"a":1}'), 'gzip', 'application/json', '/unpacked')
  assert.deepEqual(await unpacked.json(), { body: { a: 1 } })
})

test('with http.hosts only those names are answered, on any port, and probes by any name', async () => {
  await using app = await serve(
    (http) => {
      http.get('/', () => ({ ok: true }))
      http.post('/', () => ({ ok: true }))
    },
    { http: { hosts: ['localhost', 'Todo.example', '[::1]'] } },
  )
  const { port } = app.address
  const get = async (host: string | undefined, path = '/', version = '1.1') => {
    const line = host === undefined ? '' : `host: ${host}\r\n`
    const text = await raw(port, `GET ${path} HTTP/${version}\r\n${line}connection: close\r\n\r\n`)
    return { status: Number(text.slice(9, 12)), text }
  }
  for (const host of ['localhost', `LOCALHOST:${port}`, 'todo.EXAMPLE:80', '[::1]', `[::1]:${port}`]) {
    assert.equal((await get(host)).status, 200, host)
  }
  const others = [
    'evil.test',
    `evil.test:${port}`,
    'localhost.evil.test',
    '127.0.0.1',
    'localhost@evil.test',
    '',
  ]
  for (const host of others) {
    const { status, text } = await get(host)
    assert.equal(status, 421, host)
    assert.match(text, /content-type: application\/problem\+json/i)
    assert.equal(problemOf(text)['code'], 'MISDIRECTED_REQUEST')
  }
  assert.equal((await get(undefined, '/', '1.0')).status, 421)
  assert.equal((await get('evil.test', '/openapi.json')).status, 421)
  for (const path of ['/livez', '/readyz', '/startupz']) {
    assert.equal((await get('10.0.0.7', path)).status, 200, path)
  }
  assert.equal((await get('evil.test', '/metrics')).status, 403)
  assert.match((await get('evil.test', '/health')).text, /\r\n\r\n\{"status":"\w+"\}$/)
  // The body of what is refused is not taken for the next request.
  const body = 'GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'
  const posted = await raw(
    port,
    `POST / HTTP/1.1\r\nhost: evil.test\r\ncontent-length: ${body.length}\r\n\r\n`,
    body,
  )
  assert.equal(posted.match(/HTTP\/1\.1 /g)?.length, 1)
})

test('who listens on loopback answers to the names of this machine alone, unless told otherwise', async () => {
  const routes = (http: Http): void => void http.get('/', () => ({ ok: true }))
  const statusAt = async (app: App, host: string): Promise<number> => {
    const text = await raw(app.address.port, `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)
    return Number(text.slice(9, 12))
  }
  const own = ['localhost', 'LOCALHOST:80', 'todo.localhost', '127.0.0.1', '127.9.9.9:1', '[::1]:8080']
  const foreign = ['evil.test', '10.0.0.1', 'localhost.evil.test', '127.0.0.1.evil.test', '0.0.0.0', '']
  {
    await using app = await serve(routes)
    for (const name of own) assert.equal(await statusAt(app, name), 200, name)
    for (const name of foreign) assert.equal(await statusAt(app, name), 421, name)
    assert.equal(await statusAt(app, 'localhost'), 200)
    // No browser leaves the header out.
    assert.match(await raw(app.address.port, 'GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 /)
  }
  const others: readonly Partial<AppOptions<Components>>[] = [
    { host: '0.0.0.0' },
    { http: { hosts: 'any' } },
    { http: { trustProxy: true } },
    { env: { APP_HOSTS: 'any' } },
    { env: { APP_HOSTS: 'todo.test, evil.test' } },
  ]
  for (const options of others) {
    await using app = await serve(routes, options)
    assert.equal(await statusAt(app, 'evil.test'), 200, JSON.stringify(options))
  }
  await using listed = await serve(routes, { env: { APP_HOSTS: 'todo.test' } })
  assert.equal(await statusAt(listed, 'localhost'), 421)
  await using code = await serve(routes, { http: { hosts: ['other.test'] }, env: { APP_HOSTS: 'todo.test' } })
  assert.equal(await statusAt(code, 'todo.test'), 421)
  assert.equal(await statusAt(code, 'other.test:80'), 200)
})

test('what counts is whether the address that is listened on is one of loopback', () => {
  for (const address of ['127.0.0.1', '127.1.2.3', '::1', 'localhost', 'LOCALHOST']) {
    const rule = hostRule({ hosts: undefined, trustProxy: false, address })
    assert.deepEqual([rule?.('localhost:1'), rule?.('evil.test'), rule?.(undefined)], [true, false, true])
  }
  for (const address of [
    '0.0.0.0',
    '::',
    '10.0.0.1',
    '192.168.127.1',
    'todo.internal',
    '127.0.0.1.evil.test',
  ]) {
    assert.equal(hostRule({ hosts: undefined, trustProxy: false, address }), undefined, address)
  }
})

test('limits that contradict themselves or are none are refused with the name of the option', () => {
  const make = (http: object) => createApp({ name: 'demo', http })
  assert.throws(
    () => make({ maxConnections: 0 }),
    /http.maxConnections: expected a whole number above 0, got 0/,
  )
  assert.throws(() => make({ hosts: [] }), /http.hosts: expected at least one name, or 'any'/)
  for (const name of ['a:80', 'http://a', 'a/b', '']) {
    assert.throws(() => make({ hosts: [name] }), /http.hosts: expected names or addresses without port/)
  }
  assert.throws(() => make({ headersTimeout: 'soon' }), /http.headersTimeout/)
  assert.throws(() => make({ overload: { maxMemory: 2 } }), /http.overload.maxMemory/)
})

test('headers that a hijacked reply hands over are left as they were, also when frozen', async () => {
  const plain = { 'content-type': 'text/plain' }
  const frozen = Object.freeze({ ...plain })
  await using app = await serve((http) => {
    http.get('/:which', (request, reply) => {
      reply.hijack()
      const headers = (request.params as { which: string }).which === 'frozen' ? frozen : plain
      reply.raw.writeHead(200, headers)
      reply.raw.end('ok')
    })
  })
  for (const which of ['frozen', 'plain']) {
    const answer = await fetch(`${app.address.url}/${which}`, { signal: AbortSignal.timeout(2_000) })
    assert.equal(await answer.text(), 'ok')
    assert.ok(answer.headers.get('x-request-id'))
  }
  assert.deepEqual(plain, { 'content-type': 'text/plain' })
})

test('an upgraded connection is told by preClose, and does not hold up the stop', async () => {
  const told: string[] = []
  const app = await serve((http) => {
    http.addHook('preClose', (done) => {
      told.push('preClose')
      done()
    })
    http.server.on('upgrade', (_request, socket) => {
      socket.on('error', () => {})
      socket.write('HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
    })
  })
  const client = connect(app.address.port, '127.0.0.1')
  client.on('error', () => {})
  client.write('GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
  await new Promise((resolve) => client.once('data', resolve))
  const closed = new Promise((resolve) => client.once('close', resolve))
  const began = performance.now()
  assert.equal(await app.stop(), 0)
  assert.ok(performance.now() - began < 5_000)
  assert.deepEqual(told, ['preClose'])
  await closed
})
