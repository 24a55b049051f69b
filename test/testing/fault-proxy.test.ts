import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type ListenOptions, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { startFaultProxy, type FaultProxyOptions } from '../../src/testing/fault-proxy.ts'

/** A server that sends everything back, and knows its sockets. */
async function echoServer(listen: ListenOptions = { port: 0, host: '127.0.0.1' }) {
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  server.listen(listen)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A client that collects what it receives and can wait for it. */
async function client(port: number) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  const chunks: Buffer[] = []
  let received = 0
  const events: string[] = []
  socket.on('error', (error: NodeJS.ErrnoException) => void events.push(error.code ?? error.message))
  socket.on('end', () => void events.push('end'))
  socket.on('data', (bytes) => {
    chunks.push(bytes)
    received += bytes.length
  })
  await once(socket, 'connect')
  return {
    socket,
    chunks,
    events,
    get received() {
      return received
    },
    text: () => Buffer.concat(chunks).toString(),
    async gets(bytes: number) {
      while (received < bytes) await once(socket, 'data')
    },
    [Symbol.dispose]: () => void socket.destroy(),
  }
}

async function setUp(options: Partial<FaultProxyOptions> = {}) {
  const server = await echoServer()
  const proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: server.port }, ...options })
  return {
    server,
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** Asks the proxy something over a second connection: what was sent before has had its chance to pass. */
async function roundTrip(port: number): Promise<void> {
  using other = await client(port)
  other.socket.write('x')
  await other.gets(1)
}

test('bytes pass both ways and are counted', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  one.socket.write('hello')
  await one.gets(5)
  assert.equal(one.text(), 'hello')
  assert.equal(at.proxy.counts.accepted, 1)
  assert.equal(at.proxy.counts.bytesUp, 5)
  assert.equal(at.proxy.counts.bytesDown, 5)
})

test('an end of one side reaches the other, which may still answer', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  one.socket.end('last words')
  await once(one.socket, 'close')
  assert.equal(one.text(), 'last words')
  assert.deepEqual(one.events, ['end'])
})

test('latency delays each byte by at least what was asked, and does not add up over chunks', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  at.proxy.latency(40, { direction: 'up' })
  const began = performance.now()
  // Timers of one event loop are late together, so that a busy machine does not decide.
  let isLate = false
  const late = setTimeout(() => (isLate = true), 20 * 40)
  for (let i = 0; i < 20; i++) one.socket.write('0123456789')
  await one.gets(200)
  clearTimeout(late)
  const took = performance.now() - began
  assert.ok(took >= 38, `took ${took} ms`)
  assert.ok(!isLate, `took ${took} ms, so that chunks waited for each other`)
})

test('jitter never changes the order of bytes', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  at.proxy.latency(0, { jitter: 20 })
  let sent = ''
  for (let i = 0; i < 50; i++) {
    sent += `${i},`
    one.socket.write(`${i},`)
  }
  await one.gets(sent.length)
  assert.equal(one.text(), sent)
})

test('a bandwidth limits how fast bytes arrive', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  at.proxy.bandwidth(10_000, { direction: 'down' })
  const began = performance.now()
  one.socket.write(Buffer.alloc(3_000))
  await one.gets(3_000)
  assert.ok(performance.now() - began >= 200, 'bytes came faster than the bandwidth')
})

test('slices arrive one by one', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  at.proxy.slice(1, { direction: 'down' })
  one.socket.write('sliced')
  await one.gets(6)
  assert.equal(one.text(), 'sliced')
  assert.ok(one.chunks.length > 1, 'the kernel got it in one piece')
})

test('a black hole passes neither bytes nor the end, and loses nothing when it heals', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  one.socket.write('a')
  await one.gets(1)
  at.proxy.connections[0]?.blackhole()
  one.socket.write('b')
  one.socket.end()
  await roundTrip(at.proxy.port)
  assert.equal(one.text(), 'a')
  assert.deepEqual(one.events, [])
  at.proxy.heal()
  await once(one.socket, 'close')
  assert.equal(one.text(), 'ab')
})

test('a black hole pushes back on the sender instead of growing', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  at.proxy.blackhole('up')
  one.socket.write(Buffer.alloc(32 * 1024 * 1024))
  at.proxy.connections[0]?.heal()
  at.proxy.blackhole('up')
  const before = process.memoryUsage().rss
  await assert.rejects(
    once(one.socket, 'drain', { signal: AbortSignal.timeout(300) }),
    { name: 'AbortError' },
    'the proxy swallowed 32 MB',
  )
  assert.ok(process.memoryUsage().rss - before < 16 * 1024 * 1024)
})

test('dropped bytes are lost for ever while the connection goes on', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  at.proxy.drop('down')
  one.socket.write('lost')
  while (at.proxy.counts.droppedBytes < 4) await roundTripOf(at)
  at.proxy.heal()
  one.socket.write('kept')
  await one.gets(4)
  assert.equal(one.text(), 'kept')
})

async function roundTripOf(at: { server: { port: number } }): Promise<void> {
  await roundTrip(at.server.port)
}

test('half-open: the server never learns that the client is gone', async () => {
  await using at = await setUp()
  const one = await client(at.proxy.port)
  one.socket.write('a')
  await one.gets(1)
  at.proxy.halfOpen('up')
  const server = at.server.sockets[0]
  assert.ok(server)
  let told = false
  server.once('end', () => void (told = true)).once('close', () => void (told = true))
  one.socket.destroy()
  await once(one.socket, 'close')
  await roundTrip(at.proxy.port)
  at.proxy.heal()
  await roundTrip(at.proxy.port)
  assert.equal(told, false)
  assert.equal(server.destroyed, false)
})

test('reset ends the connections of now with ECONNRESET and lets new ones through', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  one.socket.write('a')
  await one.gets(1)
  const closed = once(one.socket, 'close')
  at.proxy.reset()
  await closed.catch(() => {})
  assert.deepEqual(one.events, ['ECONNRESET'])
  await roundTrip(at.proxy.port)
  assert.equal(at.proxy.counts.resets, 1)
})

test('reset after n bytes passes exactly n', async () => {
  await using at = await setUp()
  at.proxy.reset({ afterBytes: 10 })
  using one = await client(at.proxy.port)
  const closed = once(one.socket, 'close')
  one.socket.write('12345678')
  await closed.catch(() => {})
  assert.deepEqual(one.events, ['ECONNRESET'])
  assert.equal(at.proxy.counts.bytesUp + at.proxy.counts.bytesDown, 10)
})

test('refused connections get ECONNREFUSED, open ones go on, and accept brings the port back', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  await at.proxy.refuse()
  await assert.rejects(client(at.proxy.port), { code: 'ECONNREFUSED' })
  one.socket.write('still here')
  await one.gets(10)
  await at.proxy.accept()
  await roundTrip(at.proxy.port)
})

test('a slow close passes the end on late', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  one.socket.write('a')
  await one.gets(1)
  at.proxy.slowClose('60ms', { direction: 'up' })
  const began = performance.now()
  one.socket.end()
  await once(one.socket, 'end')
  // Node's timers may fire a millisecond early.
  assert.ok(performance.now() - began >= 58)
})

test('corruption changes one byte in each n, and the same ones for the same seed', async () => {
  const corrupted = async (seed: number): Promise<Buffer> => {
    await using at = await setUp({ seed })
    using one = await client(at.proxy.port)
    at.proxy.corrupt({ every: 100 })
    one.socket.write(Buffer.alloc(1_000))
    await one.gets(1_000)
    assert.equal(at.proxy.counts.corruptedBytes, 10)
    return Buffer.concat(one.chunks)
  }
  const first = await corrupted(7)
  for (let start = 0; start < 1_000; start += 100) {
    assert.equal(first.subarray(start, start + 100).filter((byte) => byte !== 0).length, 1)
  }
  assert.deepEqual(await corrupted(7), first)
  assert.notDeepEqual(await corrupted(8), first)
})

test('a hook may change bytes, lose them and reset the connection', async () => {
  await using at = await setUp()
  at.proxy.intercept((bytes, way) => {
    const text = bytes.toString()
    if (text === 'die') return 'reset'
    if (way === 'up' && text === 'lose') return undefined
    return Buffer.from(text.toUpperCase())
  }, 'up')
  using one = await client(at.proxy.port)
  one.socket.write('change')
  await one.gets(6)
  assert.equal(one.text(), 'CHANGE')
  one.socket.write('lose')
  while (at.proxy.counts.droppedBytes < 4) await roundTrip(at.server.port)
  const closed = once(one.socket, 'close')
  one.socket.write('die')
  await closed.catch(() => {})
  assert.deepEqual(one.events, ['ECONNRESET'])
})

test('one connection can be faulty while its neighbour is not', async () => {
  await using at = await setUp()
  using one = await client(at.proxy.port)
  one.socket.write('1')
  await one.gets(1)
  at.proxy.connections[0]?.blackhole()
  using two = await client(at.proxy.port)
  two.socket.write('2')
  await two.gets(1)
  one.socket.write('1')
  two.socket.write('2')
  await two.gets(2)
  assert.equal(one.received, 1)
})

test('a Unix socket can be the target', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'proxy-'))
  try {
    const path = join(directory, 'echo.sock')
    await using _server = await echoServer({ path })
    await using proxy = await startFaultProxy({ target: { path } })
    await roundTrip(proxy.port)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a target that is not there ends the connection and is counted', async () => {
  const gone = await echoServer()
  await gone[Symbol.asyncDispose]()
  await using proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: gone.port } })
  using one = await client(proxy.port)
  if (!one.socket.readableEnded) await once(one.socket, 'end')
  assert.equal(proxy.counts.unreachable, 1)
})

test('closing the proxy ends every connection and may be done twice', async () => {
  const at = await setUp()
  at.proxy.blackhole()
  using one = await client(at.proxy.port)
  one.socket.write('waits')
  await at.proxy.close()
  await at.proxy.close()
  assert.equal(at.proxy.counts.open, 0)
  await assert.rejects(at.proxy.accept(), { code: 'SLUICE_CLOSED' })
  await at.server[Symbol.asyncDispose]()
})

test('wrong values are refused with the name of the option', async () => {
  await using at = await setUp()
  const invalid = (message: RegExp) => ({ code: 'SLUICE_INVALID_ARGUMENT', message })
  assert.throws(() => at.proxy.bandwidth(0), invalid(/bandwidth: .* got 0/))
  assert.throws(() => at.proxy.slice(1.5), invalid(/slice: .* got 1.5/))
  assert.throws(() => at.proxy.corrupt({ every: -1 }), invalid(/corrupt.every/))
  assert.throws(() => at.proxy.latency('soon'), invalid(/latency: .*"soon"/))
  assert.throws(() => at.proxy.blackhole('sideways' as 'up'), invalid(/direction: .*"sideways"/))
})
