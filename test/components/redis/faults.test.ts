/** A server that dies, freezes, lies or is not there; each fault on a server of the test's own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../../src/core/clock.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { assertNoLeaks, snapshotResources } from '../../../src/testing/leak-check.ts'
import { freePort, missingServerProgram, ownServer, type OwnServer } from './own-server.ts'
import { connectRedis, hasCode, type Connected } from './support.ts'

const skip = await missingServerProgram()
const fault = (name: string, fn: () => Promise<void>): void => void test(name, { skip, timeout: 60_000 }, fn)

/** Timers of one event loop are late together, so that a busy machine does not decide. */
const settledWithin = async (ms: number, work: PromiseLike<unknown>): Promise<void> => {
  const over = new AbortController()
  const late = systemClock.sleep(ms, { signal: over.signal }).then(() => assert.fail(`not within ${ms} ms`))
  await Promise.race([Promise.allSettled([work]), late])
  over.abort()
  await late.catch(() => {})
}

/** Connects again and again, as the app does, until it works. */
async function reconnect(connected: Connected): Promise<void> {
  for (;;) {
    try {
      await connected.connect()
      return
    } catch (error) {
      assert.ok(isSluiceError(error), String(error))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** Waits until the breaker, which a burst of failures has opened, lets calls in again. */
async function letIn<T>(call: () => PromiseLike<T>): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!hasCode('SLUICE_BREAKER_OPEN')(error)) throw error
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

const proxied = (server: OwnServer) => startFaultProxy({ target: { host: '127.0.0.1', port: server.port } })

fault('a server that is absent at boot is connected to once it appears', async () => {
  await using server = await ownServer()
  await server.kill()
  await using connected = await connectRedis({ addr: server.addr }, { idle: true })
  await assert.rejects(connected.connect(), (error) => {
    assert.ok(hasCode('SLUICE_UNAVAILABLE')(error))
    assert.match(String(error), new RegExp(`${server.addr}.*ECONNREFUSED`))
    return true
  })
  await server.start()
  await connected.connect()
  assert.equal(await connected.cache.set('a', '1'), true)
})

fault('an address that swallows connections is given up at the dial timeout', async () => {
  await using server = await ownServer()
  await using proxy = await proxied(server)
  proxy.blackhole()
  await using connected = await connectRedis({ addr: proxy.address, dialTimeout: 200 }, { idle: true })
  const connecting = connected.connect()
  await settledWithin(2_000, connecting)
  await assert.rejects(connecting, hasCode('SLUICE_TIMEOUT'))
})

fault('a name that cannot be resolved says so', async () => {
  await using connected = await connectRedis(
    { addr: 'redis.invalid:6379', dialTimeout: '5s' },
    { idle: true },
  )
  await assert.rejects(connected.connect(), (error) => {
    return hasCode('SLUICE_UNAVAILABLE')(error) && /redis\.invalid/.test(String(error))
  })
})

fault(
  'a killed server: every call settles with a code, the loss is reported once, and it heals',
  async () => {
    await using server = await ownServer()
    await using connected = await connectRedis({ addr: server.addr, maxRetries: 0 })
    const { cache } = connected
    const loss = connected.nextLoss()
    let acknowledged = 0
    const codes = new Set<string>()
    const callers = Array.from({ length: 100 }, async () => {
      for (;;) {
        try {
          await cache.incr('n')
          acknowledged += 1
          if (acknowledged === 1_000) void server.kill()
        } catch (error) {
          assert.ok(isSluiceError(error), String(error))
          codes.add(error.code)
          return
        }
      }
    })
    await Promise.all(callers)
    assert.ok(hasCode('SLUICE_UNAVAILABLE')(await loss))
    assert.equal(connected.losses.length, 1)
    // What was sent may have been counted; what was not sent says so.
    assert.ok(codes.has('SLUICE_OUTCOME_UNKNOWN'))
    const others = ['SLUICE_OUTCOME_UNKNOWN', 'SLUICE_NOT_READY', 'SLUICE_UNAVAILABLE', 'SLUICE_BREAKER_OPEN']
    assert.deepEqual(
      [...codes].filter((code) => !others.includes(code)),
      [],
    )
    await assert.rejects(cache.get('n'), hasCode('SLUICE_NOT_READY'))
    await server.start()
    await reconnect(connected)
    assert.equal(await letIn(() => cache.get('n')), null, 'the server came back empty')
    assert.equal(await cache.incr('n'), 1)
  },
)

fault('a frozen server: calls time out at their deadline and the dead connection is found', async () => {
  await using server = await ownServer()
  await using connected = await connectRedis({
    addr: server.addr,
    // What a busy machine needs to answer at all.
    readTimeout: 1_000,
    writeTimeout: 1_000,
    poolTimeout: 0,
    pingInterval: 400,
    maxRetries: 0,
    dialTimeout: 1_000,
  })
  const { cache } = connected
  await cache.set('a', '1')
  server.freeze()
  const loss = connected.nextLoss()
  const calls = Array.from({ length: 20 }, () => cache.get('a'))
  for (const call of calls) {
    await settledWithin(2_000, call)
    await assert.rejects(
      call,
      (error) => hasCode('SLUICE_TIMEOUT')(error) || hasCode('SLUICE_UNAVAILABLE')(error),
    )
  }
  await settledWithin(5_000, loss)
  // The kernel still takes connections; nobody answers on them.
  await assert.rejects(connected.connect(), hasCode('SLUICE_TIMEOUT'))
  server.thaw()
  await reconnect(connected)
  assert.equal(await letIn(() => cache.get('a')), '1')
})

fault(
  'a network that goes silent is found by the heartbeat, and subscriptions come back with a gap',
  async () => {
    await using server = await ownServer()
    await using proxy = await proxied(server)
    await using connected = await connectRedis({
      addr: proxy.address,
      readTimeout: 1_000,
      writeTimeout: 1_000,
      dialTimeout: 1_000,
      pingInterval: 200,
    })
    const { cache } = connected
    const gap = Promise.withResolvers<string>()
    const received = Promise.withResolvers<string>()
    const subscription = cache.subscribe('news', (message) => received.resolve(message), {
      onGap: ({ reason }) => gap.resolve(reason),
    })
    await subscription.live
    proxy.blackhole()
    await settledWithin(5_000, connected.nextLoss())
    for (const connection of proxy.connections) connection.reset()
    proxy.heal()
    await reconnect(connected)
    assert.equal(await gap.promise, 'reconnected')
    await cache.publish('news', 'after')
    assert.equal(await received.promise, 'after')
  },
)

fault('replies cut into single bytes, and many at once, are read right', async () => {
  await using server = await ownServer()
  await using proxy = await proxied(server)
  proxy.slice(1, { direction: 'down' })
  await using connected = await connectRedis({ addr: proxy.address })
  const { cache } = connected
  const entries = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`k${at}`, `ü${at}`.repeat(3)]))
  await cache.setBatch(entries).waitAll()
  const { values } = await cache.getBatch(Object.keys(entries)).waitAll()
  assert.deepEqual(values, Object.values(entries))
  assert.deepEqual(await cache.getBuffer('k1'), Buffer.from('ü1ü1ü1'))
})

fault('storms of resets leave no socket, timer or listener behind', async () => {
  await using server = await ownServer()
  const round = async (resets: number): Promise<void> => {
    await using proxy = await proxied(server)
    await using connected = await connectRedis({ addr: proxy.address, maxRetries: 0 })
    const subscription = connected.cache.subscribe('news', () => {})
    for (let at = 0; at < resets; at += 1) {
      const call = connected.cache.get('a')
      call.catch(() => {})
      const loss = connected.nextLoss()
      proxy.reset()
      await loss
      await Promise.allSettled([call])
      proxy.heal()
      await reconnect(connected)
    }
    await subscription.close()
  }
  await round(2)
  const earlier = snapshotResources()
  await round(100)
  await assertNoLeaks(earlier)
})

fault('slow replies cause no storm of retries', async () => {
  await using server = await ownServer()
  await using proxy = await proxied(server)
  await using connected = await connectRedis({ addr: proxy.address })
  let sent = 0
  proxy.intercept((bytes, way) => {
    if (way === 'up') sent += bytes.toString('latin1').split('*2\r\n$3\r\nGET').length - 1
    return bytes
  })
  proxy.latency(100, { jitter: 80 })
  const calls = 200
  const settled = await Promise.allSettled(
    Array.from({ length: calls }, (_, at) => connected.cache.get(`k${at}`)),
  )
  assert.ok(settled.every(({ status }) => status === 'fulfilled'))
  assert.ok(sent <= calls * 1.1, `${sent} commands for ${calls} calls`)
})

fault('garbage in the replies ends the connection and nothing else', async () => {
  await using server = await ownServer()
  for (let seed = 1; seed <= 8; seed += 1) {
    await using proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: server.port }, seed })
    await using connected = await connectRedis({
      addr: proxy.address,
      readTimeout: 1_000,
      writeTimeout: 1_000,
      poolTimeout: 0,
      maxRetries: 0,
      pingInterval: 50,
    })
    const { cache } = connected
    await cache.set('a', 'x'.repeat(200))
    proxy.corrupt({ every: 40 })
    const calls = Array.from({ length: 30 }, () => cache.get('a'))
    for (const result of await Promise.allSettled(calls)) {
      if (result.status === 'rejected') assert.ok(isSluiceError(result.reason), String(result.reason))
    }
    proxy.heal()
    // Out of step or not, a fresh connection reads right.
    connected.component.check(AbortSignal.timeout(1_000)).catch(() => {})
    for (const connection of proxy.connections) connection.reset()
    if (connected.phase === 'ready') await connected.nextLoss()
    await reconnect(connected)
    assert.equal(await letIn(() => cache.get('a')), 'x'.repeat(200))
  }
})

fault(
  'a lost reply of what may not be repeated is SLUICE_OUTCOME_UNKNOWN, and was counted once',
  async () => {
    await using server = await ownServer()
    await using proxy = await proxied(server)
    await using connected = await connectRedis({ addr: proxy.address })
    const { cache } = connected
    let replies = 0
    proxy.intercept((bytes, way) => {
      if (way === 'down') replies += 1
      return way === 'down' ? 'reset' : bytes
    })
    await assert.rejects(cache.incr('n'), hasCode('SLUICE_OUTCOME_UNKNOWN'))
    assert.equal(replies, 1)
    proxy.heal()
    await reconnect(connected)
    assert.equal(await cache.get('n'), '1')
  },
)

fault('a flapping server is met with typed errors and a client that always comes back', async () => {
  await using server = await ownServer()
  await using connected = await connectRedis({ addr: server.addr, maxRetries: 0 })
  for (let round = 0; round < 5; round += 1) {
    assert.equal(await connected.cache.set('a', String(round)), true)
    const loss = connected.nextLoss()
    await server.kill()
    await loss
    await assert.rejects(connected.cache.get('a'), hasCode('SLUICE_NOT_READY'))
    await server.start()
    await reconnect(connected)
  }
  assert.equal(connected.losses.length, 5)
})

fault('scripts survive a server that forgot them', async () => {
  await using server = await ownServer()
  await using connected = await connectRedis({ addr: server.addr })
  const limiter = connected.cache.rateLimiter({ limit: 5, window: '1h' })
  assert.equal((await limiter.take('a')).allowed, true)
  await connected.cache.command(['SCRIPT', 'FLUSH'])
  const decisions = await Promise.all(Array.from({ length: 10 }, () => limiter.take('a')))
  assert.equal(decisions.filter(({ allowed }) => allowed).length, 4)
})

fault('a lock is lost by its own clock when the server cannot be reached', async () => {
  await using server = await ownServer()
  await using connected = await connectRedis({ addr: server.addr, maxRetries: 0 })
  const lock = await connected.cache.lock('job', { ttl: 300 })
  await server.kill()
  await settledWithin(2_000, new Promise((resolve) => lock.signal.addEventListener('abort', resolve)))
  assert.ok(hasCode('SLUICE_LOCK_LOST')(lock.signal.reason))
  const token = lock.token
  await server.start()
  await reconnect(connected)
  await using next = await connected.cache.lock('job')
  assert.ok(next.token > token, 'tokens grow across a restart with empty data')
})

fault('sessions fail closed while the store is away', async () => {
  await using server = await ownServer()
  await using connected = await connectRedis({ addr: server.addr, maxRetries: 0 })
  const sessions = connected.cache.sessions<string>()
  const id = await sessions.create('ada')
  const loss = connected.nextLoss()
  await server.kill()
  await loss
  await assert.rejects(sessions.get(id))
})

fault('a pool grows while it is busy, and losing one connection of several is no loss', async () => {
  await using server = await ownServer()
  await using proxy = await proxied(server)
  await using connected = await connectRedis({
    addr: proxy.address,
    poolSize: 3,
    minIdleConns: 1,
    maxRetries: 0,
  })
  const { cache, component } = connected
  const connections = (): unknown => component.inspect()['connections']
  assert.equal(connections(), 1)
  while (connections() !== 3) await Promise.all(Array.from({ length: 200 }, () => cache.get('a')))
  proxy.connections[1]?.reset()
  while (connections() !== 2) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(await cache.get('a'), null)
  assert.equal(connected.losses.length, 0)
})

fault('a connection past its age is replaced without an error', async () => {
  await using server = await ownServer()
  await using proxy = await proxied(server)
  await using connected = await connectRedis({ addr: proxy.address, maxConnAge: 500 })
  const next = proxy.nextConnection()
  let isReplaced = false
  void next.then(() => (isReplaced = true))
  while (!isReplaced) await connected.cache.set('a', '1')
  await connected.cache.set('a', '2')
  assert.equal(connected.losses.length, 0)
})

fault('a close waits for what is in flight, and gives up on a frozen server at its deadline', async () => {
  await using server = await ownServer()
  const connected = await connectRedis({ addr: server.addr, maxRetries: 0 })
  const calls = Array.from({ length: 100 }, (_, at) => connected.cache.set(`k${at}`, '1'))
  const closing = connected.component.close(AbortSignal.timeout(5_000))
  assert.ok((await Promise.allSettled(calls)).every(({ status }) => status === 'fulfilled'))
  await closing
  await connected.close()

  const frozen = await connectRedis({ addr: server.addr, maxRetries: 0, pingInterval: '1h' })
  server.freeze()
  const call = frozen.cache.get('a')
  call.catch(() => {})
  await settledWithin(2_000, frozen.close(AbortSignal.timeout(200)))
  await settledWithin(2_000, call)
  server.thaw()
})

fault('a port with no server at all gives a hint of what was tried', async () => {
  const port = await freePort()
  await using connected = await connectRedis({ addr: `localhost:${port}` }, { idle: true })
  await assert.rejects(connected.connect(), (error) => new RegExp(`localhost:${port}`).test(String(error)))
})
