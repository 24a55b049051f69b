import assert from 'node:assert/strict'
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import type { HealthReport } from '../../src/app/health.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { fake } from './fake-component.ts'

const base = { name: 'demo', port: 0, host: '127.0.0.1', env: {}, logger: silentLogger } as const

/** GET with headers that fetch would not send, such as another Host. */
function get(
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    call.on('error', reject)
    call.end()
  })
}

test('probes reveal one word, the same bytes whatever is wrong inside', async () => {
  const db = fake('db')
  db.connect = () =>
    Promise.reject(new Error('password authentication failed for user "app" at db.internal:5432'))
  await using app = createApp({ ...base, components: { db: db.definition }, health: { maxStartup: 0 } })
  await app.start()
  const { port } = app.address
  assert.deepEqual(await get(port, '/livez'), { status: 200, body: '{"status":"ok"}' })
  assert.deepEqual(await get(port, '/startupz'), { status: 200, body: '{"status":"ok"}' })
  assert.deepEqual(await get(port, '/readyz'), { status: 200, body: '{"status":"degraded"}' })
  assert.deepEqual(await get(port, '/health', { host: 'evil.test' }), {
    status: 200,
    body: '{"status":"degraded"}',
  })
})

test('readyz is 503 while a component gated at startup is not there, and 200 afterwards', async () => {
  const db = fake('db')
  const gate = Promise.withResolvers<void>()
  db.connect = () => gate.promise
  await using app = createApp({ ...base, components: { db: db.definition } })
  await app.start()
  assert.deepEqual(await get(app.address.port, '/readyz'), { status: 503, body: '{"status":"starting"}' })
  gate.resolve()
  await app.init.ready()
  assert.deepEqual(await get(app.address.port, '/readyz'), { status: 200, body: '{"status":"ready"}' })
})

/** Starts that do not succeed, each in its own way. */
const BROKEN_STARTS: Readonly<Record<string, (signal: AbortSignal) => Promise<void>>> = {
  fails: () => Promise.reject(new Error('no such table')),
  hangs: (signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
}

for (const [how, start] of Object.entries(BROKEN_STARTS)) {
  test(`readyz is 503 for maxStartup while the start of a service ${how}, and degraded afterwards`, async () => {
    const clock = new ManualClock()
    await using app = createApp({ ...base, clock, health: { maxStartup: '30s' } })
    app.service('fine', () => ({ start: () => {} }))
    app.service('broken', ({ http }) => {
      http.get('/', () => ({}))
      return { start }
    })
    await app.start()
    const { port } = app.address
    const says = async (path: string): Promise<string> => {
      const { status, body } = await get(port, path, { host: 'elsewhere.test' })
      return `${status} ${(JSON.parse(body) as { readonly status: string }).status}`
    }
    await clock.advance(29_999)
    assert.deepEqual([await says('/readyz'), await says('/health')], ['503 starting', '200 starting'])
    await clock.advance(1)
    assert.deepEqual([await says('/readyz'), await says('/health')], ['200 degraded', '200 degraded'])
    assert.deepEqual([await says('/livez'), await says('/startupz')], ['200 ok', '200 ok'])
    assert.equal((await get(port, '/')).status, 503)
  })
}

test('readyz waits for the start of a service, and not for one that itself waits for what it needs', async () => {
  const db = fake('db')
  db.connect = () => Promise.reject(new Error('not there'))
  const gate = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  await using app = createApp({
    ...base,
    components: { db: db.definition },
    health: { gates: { db: 'never' } },
  })
  app.service('late', () => ({
    start: async () => {
      await gate.promise
      setImmediate(started.resolve)
    },
  }))
  app.service('waits', ({ db: _db }) => ({ start: () => assert.fail('it has not what it needs') }))
  await app.start()
  assert.equal(app.readiness, 'starting')
  gate.resolve()
  await started.promise
  assert.equal(app.readiness, 'degraded')
  assert.equal((await get(app.address.port, '/readyz')).status, 200)
})

test('detail shows what is wrong without hosts and secrets', async () => {
  const db = fake('db')
  db.connect = () =>
    Promise.reject(
      new Error('connect ECONNREFUSED 10.1.2.3:5432 (postgres://app:hunter2@db.internal:5432/x)'),
    )
  await using app = createApp({ ...base, components: { db: db.definition } })
  await app.start()
  const { port } = app.address
  let report: HealthReport
  do report = JSON.parse((await get(port, '/health')).body) as HealthReport
  while (typeof report.infrastructure['db']?.error !== 'string')
  assert.equal(report.status, 'starting')
  assert.equal(report.server_ready, false)
  assert.equal(report.initialization_progress, 0)
  const { error, ...rest } = report.infrastructure['db']
  assert.match(error, /ECONNREFUSED <host>/)
  assert.doesNotMatch(JSON.stringify(report), /10\.1\.2\.3|hunter2|db\.internal/)
  assert.equal(rest.initialized, false)
  assert.ok(rest.start_time !== null && !Number.isNaN(Date.parse(rest.start_time)))
  assert.equal((await get(port, '/health/db')).status, 200)
  assert.equal((await get(port, '/health/nothing')).status, 404)
  assert.deepEqual(Object.keys(JSON.parse((await get(port, '/health/infrastructure')).body) as object), [
    'db',
  ])
  assert.match((await get(port, '/metrics')).body, /^# HELP /)
})

test('why the start of a service failed is shown without hosts and secrets', async () => {
  await using app = createApp(base)
  app.service('broken', () => ({
    start: () =>
      Promise.reject(
        new Error('connect ECONNREFUSED 10.1.2.3:5432 (postgres://app:hunter2@db.internal:5432/x)'),
      ),
  }))
  await app.start()
  for (const path of ['/health', '/health/broken']) {
    const { body } = await get(app.address.port, path)
    assert.match(body, /ECONNREFUSED <host>/)
    assert.doesNotMatch(body, /10\.1\.2\.3|hunter2|db\.internal/)
  }
})

test('detail is for this machine: a foreign name, or a proxy that speaks for another, gets none', async () => {
  await using app = createApp({ ...base, http: { hosts: 'any' } })
  await app.start()
  const { port } = app.address
  for (const path of ['/metrics', '/health/infrastructure', '/health/db', '/openapi.json']) {
    assert.equal((await get(port, path, { host: 'rebound.example' })).status, 403, path)
    assert.equal(
      (await get(port, path, { host: `localhost:${port}`, 'x-forwarded-for': '1.2.3.4' })).status,
      403,
      path,
    )
    assert.equal((await get(port, path, { host: 'localhost.evil.test' })).status, 403, path)
  }
  assert.equal((await get(port, '/metrics', { host: `localhost:${port}` })).status, 200)
  assert.equal((await get(port, '/metrics', { host: `[::1]:${port}` })).status, 200)
})

test('a proxy on this machine that asks by its address gets no detail: it says so in a header, or speaks HTTP/1.0', async () => {
  await using app = createApp(base)
  await app.start()
  const { port } = app.address
  const proxied = [
    'forwarded',
    'via',
    'x-forwarded-for',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-real-ip',
  ]
  for (const header of proxied) {
    assert.equal((await get(port, '/metrics', { [header]: 'for=1.2.3.4' })).status, 403, header)
  }
  const bare = async (path: string, version: string): Promise<string> => {
    const socket = connect(port, '127.0.0.1')
    socket.end(`GET ${path} HTTP/${version}\r\nhost: 127.0.0.1:${port}\r\nconnection: close\r\n\r\n`)
    return text(socket)
  }
  assert.match(await bare('/metrics', '1.1'), /^HTTP\/1\.1 200 /)
  assert.match(await bare('/metrics', '1.0'), /^HTTP\/1\.1 403 /)
  assert.match(await bare('/health', '1.0'), /^HTTP\/1\.1 200 [^]*\r\n\r\n\{"status":"ok"\}$/)
})

test('a token opens detail to everyone who has it, and with detail: token to nobody else', async () => {
  const token = '0123456789abcdef0123'
  await using app = createApp({ ...base, health: { token, detail: 'token' } })
  await app.start()
  const { port } = app.address
  assert.equal((await get(port, '/metrics')).status, 401)
  assert.equal((await get(port, '/metrics', { authorization: 'Bearer wrong' })).status, 401)
  const host = 'pod.cluster.local'
  assert.equal((await get(port, '/metrics', { host, authorization: `Bearer ${token}` })).status, 200)
  assert.throws(
    () => createApp({ ...base, health: { token: 'short' } }),
    /health.token: expected at least 16/,
  )
  assert.throws(() => createApp({ ...base, health: { detail: 'token' } }), /health.token/)
})

test('a gate for what is no component is refused', () => {
  assert.throws(
    () =>
      createApp({ ...base, components: { db: fake('db').definition }, health: { gates: { bd: 'always' } } }),
    /health.gates.bd/,
  )
})

test('while draining readyz is 503, livez is 200, and every response ends its connection', async () => {
  const app = createApp({ ...base, shutdown: { drainDelay: '300ms' } })
  app.service('hello', ({ http }) => void http.get('/', () => ({ hello: 'world' })))
  await app.start()
  const { port } = app.address
  const stopping = app.stop()
  assert.equal(app.readiness, 'draining')
  assert.deepEqual(await get(port, '/readyz'), { status: 503, body: '{"status":"draining"}' })
  assert.deepEqual(await get(port, '/livez'), { status: 200, body: '{"status":"ok"}' })
  const response = await fetch(`${app.address.url}/`)
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('connection'), 'close')
  assert.equal(await stopping, 0)
})

test('the routes describe themselves, and hidden ones do not', async () => {
  const { z } = await import('zod')
  await using app = createApp({ ...base, name: 'todo' })
  app.service('todos', ({ http }) => {
    const schema = {
      summary: 'Change a todo',
      params: z.object({ id: z.string() }),
      querystring: z.object({ dry: z.boolean().optional() }),
      body: z.object({ title: z.string(), due: z.date() }),
      response: { 200: z.object({ id: z.string() }) },
    }
    http.put('/todos/:id', { schema }, (request) => ({ id: request.params.id }))
    http.post('/todos', (_request, reply) => reply.code(201).send({}))
  })
  await app.start()
  const document = JSON.parse((await get(app.address.port, '/openapi.json')).body) as {
    openapi: string
    info: unknown
    paths: Record<
      string,
      Record<string, { parameters: unknown; tags: unknown; requestBody: unknown; responses: object }>
    >
  }
  assert.equal(document.openapi, '3.1.0')
  assert.deepEqual(document.info, { title: 'todo', version: '0.0.0' })
  assert.deepEqual(Object.keys(document.paths), ['/todos/{id}', '/todos'])
  const put = document.paths['/todos/{id}']?.['put']
  assert.ok(put)
  assert.deepEqual(put.tags, ['todos'])
  assert.deepEqual(put.parameters, [
    { schema: { type: 'string' }, name: 'id', in: 'path', required: true },
    { name: 'dry', in: 'query', required: false, schema: { type: 'boolean' } },
  ])
  assert.deepEqual(Object.keys(put.responses), ['200', 'default'])
  // Nobody said with which success it answers.
  assert.deepEqual(Object.keys(document.paths['/todos']?.['post']?.responses ?? {}), ['2XX', 'default'])
  assert.match(JSON.stringify(put.requestBody), /"required":\["title","due"\]/)
})
