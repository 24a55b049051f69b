/** The source against servers that break the protocol of WebSockets, are silent, or send too much. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { silentLogger } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { PartContext, Receiver } from '../../src/replicator/contract.ts'
import { webSocketSource } from '../../src/replicator/websocket/source.ts'
import { eventually } from '../support/eventually.ts'

const context: PartContext = {
  name: 'test',
  appName: 'test',
  clock: systemClock,
  random: () => 0.01,
  log: silentLogger,
  metrics: createMetrics(),
  lanes: [{ name: 'company', plural: 'companies', lookups: undefined, ttlMs: 0 }],
}
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** A server that shakes hands by hand, and then sends these bytes, on each connection. */
async function rawServer(bytes: Buffer) {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.once('data', (request: Buffer) => {
      connections += 1
      const key = /sec-websocket-key: (.*)\r\n/i.exec(request.toString())?.[1] ?? ''
      const accept = createHash('sha1')
        .update(key + GUID)
        .digest('base64')
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      )
      socket.write(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function recorder() {
  const reasons: string[] = []
  let messages = 0
  const receiver: Receiver = {
    message: () => void (messages += 1),
    reached: () => {},
    malformed: () => void (messages += 1),
    live: () => {},
    reload: () => {},
    disconnected: (reason) => void reasons.push(reason),
  }
  return { receiver, reasons, messages: () => messages }
}

const frame = (first: number, body: Buffer): Buffer => {
  const length = Buffer.alloc(9)
  length[0] = 127
  length.writeBigUInt64BE(BigInt(body.length), 1)
  const header =
    body.length < 126 ? Buffer.from([first, body.length]) : Buffer.concat([Buffer.from([first]), length])
  return Buffer.concat([header, body])
}

const BROKEN: readonly (readonly [what: string, bytes: Buffer, reason: RegExp])[] = [
  ['a reserved bit', frame(0xc1, Buffer.from('{}')), /RSV1/],
  ['an unknown opcode', frame(0x83, Buffer.from('{}')), /opcode/],
  ['a masked frame', Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x7a, 0x7f]), /MASK/],
  ['text that is not UTF-8', frame(0x81, Buffer.from([0xff, 0xfe, 0xfd])), /UTF-8/],
  ['a frame beyond the limit', frame(0x81, Buffer.alloc(5_000, 32)), /payload size/],
  ['a length of 64 bits', Buffer.concat([Buffer.from([0x81, 127]), Buffer.alloc(8, 0xff)]), /payload/],
  ['a fragment without a beginning', frame(0x80, Buffer.from('x')), /opcode 0/],
  [
    'a continuation that never ends',
    Buffer.concat([
      frame(0x01, Buffer.alloc(100, 32)),
      ...Array.from({ length: 60 }, () => frame(0x00, Buffer.alloc(100, 32))),
    ]),
    /payload size/,
  ],
]

for (const [what, bytes, reason] of BROKEN) {
  test(`${what} ends the connection, and the source connects again`, async () => {
    await using server = await rawServer(bytes)
    const { receiver, reasons } = recorder()
    const source = webSocketSource({ url: server.url, maxPayload: 4_096, maxBackoff: 20 })(context)
    source.open({ lanes: ['company'], position: () => undefined, receiver })
    await eventually(() => Promise.resolve(server.connections() > 1 ? true : undefined))
    assert.match(reasons[0] ?? '', reason)
    await source.close(AbortSignal.timeout(5_000))
  })
}

test('a server that says nothing after the handshake is left, and one that answers no ping too', async () => {
  const subscribed = frame(
    0x81,
    Buffer.from('{"type":"subscribed","entity_type":"company","stream_id":"1-0","resumed":false}'),
  )
  for (const bytes of [Buffer.alloc(0), subscribed]) {
    await using server = await rawServer(bytes)
    const { receiver, reasons } = recorder()
    const source = webSocketSource({
      url: server.url,
      connectTimeout: 150,
      pingInterval: 40,
      maxBackoff: 20,
    })(context)
    source.open({ lanes: ['company'], position: () => undefined, receiver })
    await eventually(() => Promise.resolve(server.connections() > 1 ? true : undefined))
    assert.match(reasons[0] ?? '', /no sign of life for 80 ms|were not answered within 150 ms/)
    await source.close(AbortSignal.timeout(5_000))
  }
})

test('no message is delivered once close has resolved', async () => {
  const message = frame(
    0x81,
    Buffer.from('{"entity_type":"company","message_type":"delete","entity_id":"c","stream_id":"1-0"}'),
  )
  await using server = await rawServer(Buffer.concat(Array.from({ length: 2_000 }, () => message)))
  const { receiver, messages } = recorder()
  const source = webSocketSource({ url: server.url, maxBackoff: 20 })(context)
  source.open({ lanes: ['company'], position: () => undefined, receiver })
  await eventually(() => Promise.resolve(messages() > 0 ? true : undefined))
  await source.close(AbortSignal.timeout(5_000))
  const seen = messages()
  await systemClock.sleep(20)
  assert.equal(messages(), seen)
})

test('in a flood, everything else has its turn between two parts of 256 KB', async () => {
  const text = `{"entity_type":"company","message_type":"full","entity_id":"c1","data":{"a":"${'x'.repeat(1_000)}"},"stream_id":"1-1"}`
  const one = Buffer.concat([
    Buffer.from([0x81, 126, text.length >> 8, text.length & 255]),
    Buffer.from(text),
  ])
  const total = 8_192
  await using server = await rawServer(Buffer.concat(Array.from({ length: total }, () => one)))
  const source = webSocketSource({ url: server.url })(context)
  const { receiver } = recorder()
  const over = Promise.withResolvers<void>()
  let taken = 0
  let thisTurn = 0
  let most = 0
  const full = (): void => {
    if (thisTurn === 0) setImmediate(() => (thisTurn = 0))
    thisTurn += 1
    taken += 1
    most = Math.max(most, thisTurn)
    if (taken === total) over.resolve()
  }
  source.open({ lanes: ['company'], position: () => undefined, receiver: { ...receiver, full } })
  await over.promise
  await source.close(AbortSignal.timeout(5_000))
  assert.ok(most <= (256 * 1_024) / one.length + 1, `${most} messages in one turn`)
})
