import assert from 'node:assert/strict'
import { once } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import { connect, Socket } from 'node:net'
import { test } from 'node:test'
import type { FastifyReply } from 'fastify'
import type { Http } from '../../src/app/service.ts'
import { currentContext } from '../../src/telemetry/context.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { parsePrometheus } from '../telemetry/prometheus-text.ts'
import { serve } from './serve.ts'

/** Sends bytes as they are and gives all that comes back until the server closes. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk) => (text += String(chunk)))
  socket.write(bytes)
  try {
    await once(socket, 'close', { signal: AbortSignal.timeout(20_000) })
  } finally {
    socket.destroy()
  }
  return text
}

const get = (path: string, rest = ''): string => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n${rest}\r\n`

/** Every way in which a head can be written, with `given` among its headers. */
const WAYS: Readonly<Record<string, (reply: FastifyReply, given: Record<string, string>) => unknown>> = {
  fastify: (reply, given) => reply.headers(given).send('ok'),
  nothing: (reply) => reply.hijack().raw.end('ok'),
  object: (reply, given) => reply.hijack().raw.writeHead(200, given).end('ok'),
  frozen: (reply, given) => reply.hijack().raw.writeHead(200, 'Fine', Object.freeze(given)).end('ok'),
  capitals: (reply, given) => reply.hijack().raw.writeHead(200, inCapitals(given)).end('ok'),
  list: (reply, given) => reply.hijack().raw.writeHead(200, Object.entries(given).flat()).end('ok'),
  pairs: (reply, given) => {
    // Node takes them, and its types do not.
    const pairs = Object.entries(inCapitals(given)) as unknown as string[]
    return reply.hijack().raw.writeHead(200, pairs).end('ok')
  },
  'one by one and a list': (reply, given) => {
    reply.raw.setHeader('x-other', '1')
    reply.hijack().raw.writeHead(200, Object.entries(given).flat()).end('ok')
  },
  'one by one': (reply, given) => {
    for (const [name, value] of Object.entries(given)) reply.raw.setHeader(name, value)
    reply.hijack().raw.end('ok')
  },
  both: (reply, given) => {
    reply.raw.setHeader('x-other', '1')
    reply.hijack().raw.writeHead(200, given).end('ok')
  },
}

function inCapitals(given: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name.toUpperCase(), value]))
}

function routesOf(given: Record<string, string>): (http: Http) => void {
  return (http) => {
    for (const [way, write] of Object.entries(WAYS)) {
      http.get(`/${way.replaceAll(' ', '-')}`, (_request, reply) => {
        write(reply, { ...given })
      })
    }
  }
}
const PATHS = Object.keys(WAYS).map((way) => `/${way.replaceAll(' ', '-')}`)

test('a response carries the id of its request once, however its head is written and whatever id it was given', async () => {
  await using app = await serve(routesOf({ 'content-type': 'text/plain', 'x-request-id': 'of-another' }))
  for (const path of PATHS) {
    const answer = await raw(app.address.port, get(path, 'x-request-id: mine\r\nconnection: close\r\n'))
    assert.match(answer, /^HTTP\/1\.1 200 /, path)
    assert.deepEqual(answer.match(/^x-request-id: .*$/gim), ['x-request-id: mine'], path)
    assert.ok((answer.match(/content-type/gi)?.length ?? 0) <= 1, answer)
    assert.match(answer, /ok(\r\n0\r\n\r\n)?$/, path)
  }
})

test('while the app drains a response ends its connection, however its head is written', async () => {
  const clock = new ManualClock()
  const app = await serve(routesOf({ connection: 'keep-alive' }), { clock, shutdown: { drainDelay: '20s' } })
  const { port } = app.address
  const stopping = app.stop()
  try {
    for (const path of PATHS) {
      // Nothing but the server ends the connection here.
      const answer = await raw(port, get(path))
      const said = answer.match(/^connection: .*$/gim)?.map((line) => line.trim().toLowerCase())
      assert.deepEqual(said, ['connection: close'], path)
      assert.match(answer, /^x-request-id: \S+\r$/im, path)
    }
  } finally {
    let stopped = false
    void stopping.finally(() => (stopped = true))
    await clock.advance(20_000)
    while (!stopped) {
      await clock.advance(100)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
})

test('a response is counted once, under its route and the status that went out', async () => {
  await using app = await serve((http) => {
    routesOf({})(http)
    http.get('/broken', (_request, reply) => reply.header('x-bad', 'a\nb').send('ok'))
    http.get('/none', (_request, reply) => reply.code(204).send())
  })
  const { port } = app.address
  for (const path of [...PATHS, '/broken', '/none']) await raw(port, get(path, 'connection: close\r\n'))
  const answer = await fetch(`${app.address.url}/metrics`)
  const { samples } = parsePrometheus(await answer.text()).get('http_server_request_duration_seconds') ?? {}
  const counts = (samples ?? [])
    .filter(({ name }) => name.endsWith('_count'))
    .map(({ labels, value }) => `${labels['method']} ${labels['route']} ${labels['status']}: ${value}`)
  const expected = PATHS.map((path) => `GET ${path} 200: 1`)
  assert.deepEqual(counts.sort(), [...expected, 'GET /broken 500: 1', 'GET /none 204: 1'].sort())
})

test('who answers in a hook answers for the route that was asked for', async () => {
  await using app = await serve((http) => {
    http.addHook('onRequest', (request, reply, done) => {
      if (request.headers.authorization === undefined) void reply.code(401).send()
      else done()
    })
    http.get('/secrets/:id', () => 'secret')
  })
  assert.equal((await fetch(`${app.address.url}/secrets/1`)).status, 401)
  assert.equal((await fetch(`${app.address.url}/nowhere`)).status, 404)
  const text = await (await fetch(`${app.address.url}/metrics`)).text()
  const counted = [...text.matchAll(/_count\{method="GET",route="([^"]+)",status="(\d+)"\} (\d+)/g)]
  const ours = counted.map(([, ...facts]) => facts.join(' ')).sort()
  assert.deepEqual(ours, ['/secrets/:id 401 1', 'unmatched 404 1'])
})

test('the context of a request is in what it starts, and in nothing else of its connection', async () => {
  const before: unknown[] = []
  const inside: unknown[] = []
  let closed: ((context: unknown) => void) | undefined
  const afterwards = new Promise((resolve) => (closed = resolve))
  await using app = await serve((http) => {
    http.server.prependListener('request', () => before.push(currentContext()))
    http.server.on('connection', (socket) => socket.on('close', () => closed?.(currentContext())))
    http.get('/:n', async (request) => {
      const own = [currentContext()?.requestId]
      await new Promise((resolve) => setImmediate(resolve))
      own.push(currentContext()?.requestId)
      inside.push(own)
      return request.params
    })
  })
  const id = (n: number, rest = ''): string => get(`/${n}`, `x-request-id: id-${n}\r\n${rest}`)
  await raw(app.address.port, id(1) + id(2) + id(3, 'connection: close\r\n'))
  assert.deepEqual(inside, [
    ['id-1', 'id-1'],
    ['id-2', 'id-2'],
    ['id-3', 'id-3'],
  ])
  assert.deepEqual(before, [undefined, undefined, undefined])
  assert.equal(await afterwards, undefined)
})

test('a request that is handed to the server by hand has a context of its own, and leaves its caller the old one', async () => {
  const seen: unknown[] = []
  await using app = await serve((http) => {
    http.get('/inner', () => {
      seen.push(currentContext()?.requestId)
      return 'ok'
    })
    http.get('/outer', () => {
      const inner = new IncomingMessage(new Socket())
      Object.assign(inner, { method: 'GET', url: '/inner', headers: { 'x-request-id': 'inner' } })
      http.server.emit('request', inner, new ServerResponse(inner))
      seen.push(currentContext()?.requestId)
      return 'ok'
    })
  })
  const answer = await fetch(`${app.address.url}/outer`, { headers: { 'x-request-id': 'outer' } })
  assert.equal(answer.status, 200)
  assert.deepEqual(seen, ['inner', 'outer'])
  const by = new IncomingMessage(new Socket())
  Object.assign(by, { method: 'GET', url: '/inner', headers: { 'x-request-id': 'by-hand' } })
  app.http.server.emit('request', by, new ServerResponse(by))
  assert.deepEqual(seen, ['inner', 'outer', 'by-hand'])
  assert.equal(currentContext(), undefined)
})
