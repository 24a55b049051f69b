/** What a server may say instead of an answer, and what callers get to see of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ErrorCode } from '../../../src/core/errors.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { fakeServer, welcome } from './fake-server.ts'
import { connectRedis, hasCode } from './support.ts'

const TABLE: readonly (readonly [reply: string, code: ErrorCode, retryable: boolean])[] = [
  ['LOADING Redis is loading the dataset in memory', 'SLUICE_UNAVAILABLE', true],
  [
    'MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to no.',
    'SLUICE_UNAVAILABLE',
    true,
  ],
  ['CLUSTERDOWN The cluster is down', 'SLUICE_UNAVAILABLE', true],
  ['TRYAGAIN Multiple keys request during rehashing of slot', 'SLUICE_UNAVAILABLE', true],
  ['READONLY You can not write against a read only replica.', 'SLUICE_READ_ONLY', true],
  ['MISCONF Redis is configured to save RDB snapshots', 'SLUICE_READ_ONLY', true],
  ['NOREPLICAS Not enough good replicas to write.', 'SLUICE_READ_ONLY', true],
  ['OOM command not allowed when used memory > maxmemory.', 'SLUICE_OVERLOADED', true],
  ['BUSY Redis is busy running a script.', 'SLUICE_OVERLOADED', true],
  ['ERR max number of clients reached', 'SLUICE_OVERLOADED', true],
  ['NOAUTH Authentication required.', 'SLUICE_AUTH', false],
  ['WRONGPASS invalid username-password pair or user is disabled.', 'SLUICE_AUTH', false],
  ['NOPERM this user has no permissions to run the command', 'SLUICE_AUTH', false],
  ['MOVED 3999 127.0.0.1:6381', 'SLUICE_UNSUPPORTED', false],
  ['CROSSSLOT Keys in request do not hash to the same slot', 'SLUICE_UNSUPPORTED', false],
  ["ERR unknown command 'FOO', with args beginning with: 'secret'", 'SLUICE_UNSUPPORTED', false],
  ['NOSCRIPT No matching script.', 'SLUICE_QUERY', false],
  ['WRONGTYPE Operation against a key holding the wrong kind of value', 'SLUICE_QUERY', false],
  ['ERR something about \'secret\' and "secret"', 'SLUICE_QUERY', false],
]

for (const [reply, code, retryable] of TABLE) {
  test(`a reply of ${reply.split(' ')[0]} "${reply.slice(0, 24)}" is ${code}${retryable ? ', retryable' : ''}`, async () => {
    await using server = await fakeServer((command) => welcome(command) ?? `-${reply}\r\n`)
    await using connected = await connectRedis({ addr: server.addr, maxRetries: 0 })
    await assert.rejects(connected.cache.get('a'), (error) => {
      assert.ok(isSluiceError(error))
      assert.equal(error.code, code)
      assert.equal(error.retryable, retryable)
      assert.equal(error.component, 'cache')
      assert.doesNotMatch(`${error.stack} ${String(error.cause)} ${JSON.stringify(error)}`, /secret/)
      return true
    })
    // An answer is no loss, whatever it says.
    assert.equal(connected.losses.length, 0)
  })
}

test('what may be repeated is repeated while the server loads, and then answered', async () => {
  let gets = 0
  await using server = await fakeServer((command) => {
    if (command[0] !== 'GET') return welcome(command)
    gets += 1
    return gets < 3 ? '-LOADING Redis is loading the dataset in memory\r\n' : '$1\r\nx\r\n'
  })
  await using connected = await connectRedis({ addr: server.addr, maxRetries: 3 })
  assert.equal(await connected.cache.get('a'), 'x')
  assert.equal(gets, 3)
})

test('what may not be repeated is sent once', async () => {
  await using server = await fakeServer((command) => welcome(command) ?? '-LOADING loading\r\n')
  await using connected = await connectRedis({ addr: server.addr, maxRetries: 3 })
  await assert.rejects(connected.cache.incr('a'), hasCode('SLUICE_UNAVAILABLE'))
  assert.equal(server.received.filter((name) => name === 'INCRBY').length, 1)
})

test('a server that is still loading is not connected to', async () => {
  await using server = await fakeServer((command) =>
    command[0] === 'PING' ? '-LOADING Redis is loading the dataset in memory\r\n' : welcome(command),
  )
  await using connected = await connectRedis({ addr: server.addr }, { idle: true })
  await assert.rejects(connected.connect(), hasCode('SLUICE_UNAVAILABLE'))
})

test('a wrong password is SLUICE_AUTH at connect, and is not shown', async () => {
  await using server = await fakeServer((command) =>
    command[0] === 'AUTH'
      ? '-WRONGPASS invalid username-password pair or user is disabled.\r\n'
      : welcome(command),
  )
  await using connected = await connectRedis({ addr: server.addr, password: 'canary-4711' }, { idle: true })
  await assert.rejects(connected.connect(), (error) => {
    assert.doesNotMatch(JSON.stringify([String(error), (error as Error).cause]), /canary/)
    return hasCode('SLUICE_AUTH')(error)
  })
})

test('a server that asks for a password that was not given says so at connect', async () => {
  await using server = await fakeServer(() => '-NOAUTH Authentication required.\r\n')
  await using connected = await connectRedis({ addr: server.addr }, { idle: true })
  await assert.rejects(connected.connect(), (error) => {
    return hasCode('SLUICE_AUTH')(error) && /REDIS_PASSWORD/.test((error as { hint?: string }).hint ?? '')
  })
})

test('a master that became a replica is left for a new connection, but not again at once', async () => {
  const clock = new ManualClock()
  await using server = await fakeServer((command) => welcome(command) ?? '-READONLY You can not write.\r\n')
  await using connected = await connectRedis(
    { addr: server.addr, maxRetries: 0, pingInterval: '1h' },
    { clock },
  )
  const { cache } = connected
  await assert.rejects(cache.set('a', '1'), hasCode('SLUICE_READ_ONLY'))
  assert.equal(connected.losses.length, 0)
  await clock.advance(10_001)
  const loss = connected.nextLoss()
  await assert.rejects(cache.set('a', '1'), hasCode('SLUICE_READ_ONLY'))
  assert.ok(hasCode('SLUICE_READ_ONLY')(await loss))
  await connected.connect()
  await assert.rejects(cache.set('a', '1'), hasCode('SLUICE_READ_ONLY'))
  assert.equal(connected.losses.length, 1)
})

test('something that speaks another protocol is not connected to', async () => {
  await using server = await fakeServer(() => 'HTTP/1.1 400 Bad Request\r\n\r\n')
  await using connected = await connectRedis(
    { addr: server.addr, dialTimeout: '30s', readTimeout: '30s' },
    { idle: true },
  )
  await assert.rejects(
    connected.connect(),
    (error) => isSluiceError(error) && error.code !== 'SLUICE_INTERNAL',
  )
})

test('a server that accepts and says nothing is given up at the dial timeout', async () => {
  await using server = await fakeServer(() => undefined)
  await using connected = await connectRedis({ addr: server.addr, dialTimeout: 100, db: 3 }, { idle: true })
  await assert.rejects(connected.connect(), hasCode('SLUICE_TIMEOUT'))
})

test('operations beyond what may wait are refused, and the others are answered', async () => {
  const gate = Promise.withResolvers<void>()
  await using server = await fakeServer((command, socket) => {
    if (command[0] !== 'GET') return welcome(command)
    void gate.promise.then(() => socket.write('$-1\r\n'))
    return undefined
  })
  await using connected = await connectRedis({ addr: server.addr, maxInFlight: 5, maxWaiting: 5 })
  const calls = Array.from({ length: 20 }, () => connected.cache.get('a'))
  const refused = calls.slice(10)
  for (const call of refused) await assert.rejects(call, hasCode('SLUICE_POOL_FULL'))
  gate.resolve()
  assert.deepEqual(
    await Promise.all(calls.slice(0, 10)),
    Array.from({ length: 10 }, () => null),
  )
})

test('a right that is missing for one key opens no breaker, and closes the others to nobody', async () => {
  await using server = await fakeServer((command) => {
    if (command[0] !== 'GET') return welcome(command)
    return command[1] === 'app' ? '$1\r\nx\r\n' : '-NOPERM No permissions to access a key\r\n'
  })
  await using connected = await connectRedis({ addr: server.addr })
  const { cache } = connected
  let refused = 0
  // More than the breaker takes, in a row and as half of the calls.
  for (let call = 0; call < 60; call++) {
    await assert.rejects(cache.get('other'), (error) => {
      assert.ok(isSluiceError(error))
      assert.match(error.hint ?? '', /access control list/)
      refused += 1
      return error.code === 'SLUICE_AUTH' && !error.retryable
    })
    if (call > 50) assert.equal(await cache.get('app'), 'x')
  }
  assert.equal(refused, 60)
  assert.equal(cache.status().breaker, 'closed')
})
