import assert from 'node:assert/strict'
import { once } from 'node:events'
import { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { serve } from './serve.ts'

leakCheck()

const skip = '_dumpAndCloseReadable' in IncomingMessage.prototype ? false : 'this Node.js drains each request'

test('a request without a body that nobody listens to is over with its response', { skip }, async () => {
  const seen: boolean[] = []
  await using app = await serve((http) => {
    http.get('/at-once', (request, reply) => {
      reply.hijack().raw.end('ok')
      seen.push(request.raw.closed)
    })
    http.get('/later', async (request, reply) => {
      await new Promise((resolve) => setImmediate(resolve))
      seen.push(request.raw.closed)
      reply.hijack().raw.end('ok')
      seen.push(request.raw.closed)
    })
  })
  for (const path of ['/at-once', '/later', '/at-once']) {
    assert.equal(await (await fetch(app.address.url + path)).text(), 'ok')
  }
  assert.deepEqual(seen, [true, false, true, true])
})

test('who listens to a request without a body hears of its end as ever', async () => {
  const heard: string[] = []
  const { promise: over, resolve } = Promise.withResolvers<void>()
  await using app = await serve((http) => {
    http.get('/', (request) => {
      request.raw.on('end', () => heard.push('end'))
      request.raw.on('close', () => {
        heard.push('close')
        resolve()
      })
      return 'ok'
    })
  })
  assert.equal(await (await fetch(app.address.url)).text(), 'ok')
  await over
  assert.deepEqual(heard, ['end', 'close'])
})

test('a client that goes away while it is served is told of, whenever it is listened for', async () => {
  const answering = Promise.withResolvers<void>()
  const gone = Promise.withResolvers<boolean>()
  await using app = await serve((http) => {
    http.get('/', (request, reply) => {
      reply.hijack().raw.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
      request.raw.on('close', () => gone.resolve(request.raw.destroyed))
      answering.resolve()
    })
  })
  const socket = connect(app.address.port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await answering.promise
  socket.destroy()
  assert.equal(await gone.promise, true)
})

test('a body that a handler does not read is drained, and the next request of the connection is answered', async () => {
  await using app = await serve((http) => {
    http.addContentTypeParser('application/octet-stream', (_request, _body, done) => done(null))
    http.post('/unread', async ({ raw }, reply) => {
      // Until it takes no more, so that the connection is not read from any longer.
      while (raw.readableLength < raw.readableHighWaterMark && !raw.complete) {
        await new Promise((resolve) => setImmediate(resolve))
      }
      reply.hijack().raw.end('unread')
    })
    http.get('/next', () => 'next')
  })
  const socket = connect(app.address.port, '127.0.0.1')
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk) => (text += String(chunk)))
  const head = 'POST /unread HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n'
  socket.write(`${head}content-length: 200000\r\n\r\n${'x'.repeat(200_000)}`)
  socket.write(`${head}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`)
  socket.write('GET /next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
  await once(socket, 'close', { signal: AbortSignal.timeout(20_000) })
  assert.equal(text.match(/HTTP\/1\.1 200 OK/g)?.length, 3, text)
  assert.match(text, /next$/)
})
