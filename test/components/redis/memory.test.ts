/** What the in-memory backend promises beyond the conformance suite: time, bounds, and what it refuses. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineScript } from '../../../src/components/redis/index.ts'
import { globToRegExp } from '../../../src/components/redis/memory/glob.ts'
import { MemoryStore } from '../../../src/components/redis/memory/store.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { connectRedis, hasCode } from './support.ts'
import { cpuMs } from '../../support/cpu-time.ts'

test('a key ends to the millisecond, and a jump of the wall clock ends nothing', async () => {
  const clock = new ManualClock()
  await using connected = await connectRedis({}, { clock })
  const { cache } = connected
  await cache.set('a', '1', { ttl: '10s' })
  clock.jump(3_600_000)
  await clock.advance(9_999)
  assert.equal(await cache.ttl('a'), 1)
  await clock.advance(1)
  assert.equal(await cache.get('a'), null)
  assert.equal(await cache.ttl('a'), null)
})

test('keys past their time free their memory without being asked for', async () => {
  const clock = new ManualClock()
  await using connected = await connectRedis({}, { clock })
  await connected.cache
    .setBatch(Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`k${at}`, 'x'])), { ttl: '1s' })
    .waitAll()
  assert.equal(connected.component.inspect()['entries'], 2_000)
  await clock.advance(5_000)
  assert.equal(connected.component.inspect()['entries'], 0)
  assert.equal(connected.component.inspect()['bytes'], 0)
  assert.equal(connected.component.inspect()['expired'], 2_000)
})

test('at the limit of entries the keys used longest ago go first', async () => {
  await using connected = await connectRedis({ maxEntries: 3 })
  const { cache } = connected
  await cache.set('a', '1')
  await cache.set('b', '2')
  await cache.set('c', '3')
  await cache.get('a')
  await cache.set('d', '4')
  assert.deepEqual((await cache.getBatch(['a', 'b', 'c', 'd']).waitAll()).values, ['1', null, '3', '4'])
  assert.equal(connected.component.inspect()['evicted'], 1)
})

test('at the limit of bytes as many keys go as are needed', async () => {
  await using connected = await connectRedis({ maxBytes: '8kb' })
  const { cache } = connected
  for (let at = 0; at < 100; at += 1) await cache.set(`k${at}`, 'x'.repeat(500))
  const { entries, bytes } = connected.component.inspect() as { entries: number; bytes: number }
  assert.ok(bytes <= 8_192 && entries >= 6 && entries <= 8, `${entries} entries, ${bytes} bytes`)
  assert.notEqual(await cache.get('k99'), null)
})

test('a value that cannot fit is refused with SLUICE_OVERLOADED and takes nothing with it that it need not', async () => {
  await using connected = await connectRedis({ maxBytes: '1kb' })
  await connected.cache.set('small', 'x')
  await assert.rejects(connected.cache.set('big', 'x'.repeat(10_000)), hasCode('SLUICE_OVERLOADED'))
  await assert.rejects(connected.cache.rpush('list', 'x'.repeat(10_000)), hasCode('SLUICE_OVERLOADED'))
  assert.equal(await connected.cache.exists('big'), false)
  assert.equal(await connected.cache.exists('list'), false)
  assert.equal(await connected.cache.get('small'), 'x')
})

test('bytes are given back to the last one, whatever is done to a key', async () => {
  await using connected = await connectRedis()
  const { cache } = connected
  await cache.set('s', 'text')
  await cache.set('s', 'longer text')
  await cache.hset('h', { a: 'x', b: 'y' })
  await cache.hset('h', { a: 'longer' })
  await cache.hincrby('h', 'n', 5)
  await cache.rpush('l', ['a', 'b', 'c', 'd'])
  await cache.ltrim('l', 1, 2)
  await cache.lpop('l')
  await cache.sadd('m', ['a', 'b'])
  await cache.srem('m', 'a')
  await cache.zadd('z', { a: 1, b: 2 })
  await cache.zadd('z', { a: 3 })
  await cache.zrem('z', 'a')
  await cache.command(['RENAME', 'z', 'a much longer name'])
  await cache.command(['RENAME', 'a much longer name', 'z'])
  assert.ok((connected.component.inspect()['bytes'] as number) > 0)
  await cache.hdel('h', ['a', 'b', 'n'])
  await cache.rpop('l')
  await cache.del(['s', 'm', 'z'])
  assert.deepEqual([connected.component.inspect()['bytes'], connected.component.inspect()['entries']], [0, 0])
})

test('locks, sessions and limits are never evicted; what does not fit beside them is refused', async () => {
  await using connected = await connectRedis({ maxEntries: 4 })
  const { cache } = connected
  const sessions = cache.sessions<string>()
  const id = await sessions.create('ada')
  const lock = await cache.lock('job')
  for (let at = 0; at < 50; at += 1) await cache.set(`k${at}`, 'x')
  assert.equal(await sessions.get(id), 'ada')
  await lock.renew()
  await sessions.create('bob')
  await assert.rejects(cache.set('k', 'x'), hasCode('SLUICE_OVERLOADED'))
  await lock.release()
  await cache.set('k', 'x')
})

test('a Lua script without a native function is SLUICE_UNSUPPORTED, as is an unknown command', async () => {
  await using connected = await connectRedis()
  const script = defineScript({ name: 'lua-only', lua: 'return 1' })
  await assert.rejects(connected.cache.script(script, []), hasCode('SLUICE_UNSUPPORTED'))
  await assert.rejects(connected.cache.command(['EVAL', 'return 1', '0']), hasCode('SLUICE_UNSUPPORTED'))
  await assert.rejects(connected.cache.hset('h', { f: Buffer.from([255]) }), hasCode('SLUICE_UNSUPPORTED'))
})

test('a limiter refills evenly: half a window gives half the tokens', async () => {
  const clock = new ManualClock()
  await using connected = await connectRedis({}, { clock })
  const limiter = connected.cache.rateLimiter({ limit: 10, window: '10s' })
  const take = async (count: number): Promise<number> => {
    const decisions = await Promise.all(Array.from({ length: count }, () => limiter.take('a')))
    return decisions.filter(({ allowed }) => allowed).length
  }
  assert.equal(await take(20), 10)
  assert.equal((await limiter.take('a')).retryAfterMs, 1_000)
  await clock.advance(999)
  assert.equal(await take(5), 0)
  await clock.advance(1)
  assert.equal(await take(5), 1)
  await clock.advance(5_000)
  assert.equal(await take(20), 5)
  await clock.advance(60_000)
  assert.equal(await take(20), 10)
})

test('a session ends after its idle time, and at its absolute limit however busy it is', async () => {
  const clock = new ManualClock()
  await using connected = await connectRedis({}, { clock })
  const sessions = connected.cache.sessions<string>({ idle: '30m', absolute: '2h' })
  const idle = await sessions.create('idle')
  const busy = await sessions.create('busy')
  for (let minutes = 0; minutes < 100; minutes += 20) {
    await clock.advance(20 * 60_000)
    assert.equal(await sessions.get(busy), 'busy', `after ${minutes + 20} minutes`)
  }
  assert.equal(await sessions.get(idle), null)
  const rotated = await sessions.rotate(busy)
  await clock.advance(19 * 60_000)
  assert.equal(await sessions.get(rotated as string), 'busy')
  await clock.advance(60_000)
  assert.equal(await sessions.get(rotated as string), null, 'rotating does not lengthen a session')
})

test('a lock is renewed in the background for as long as it is held', async () => {
  const clock = new ManualClock()
  await using connected = await connectRedis({}, { clock })
  const lock = await connected.cache.lock('job', { ttl: '3s' })
  await clock.advance(60_000)
  assert.equal(lock.signal.aborted, false)
  await assert.rejects(connected.cache.lock('job'), hasCode('SLUICE_CONFLICT'))
  await lock.release()
  await clock.advance(100)
  assert.equal(clock.pending, 1, 'only the sweep is left')
})

test('a lock that is not renewed runs out, for its holder first', async () => {
  const clock = new ManualClock()
  await using connected = await connectRedis({}, { clock })
  const lock = await connected.cache.lock('job', { ttl: '3s', renew: false })
  const waiting = connected.cache.lock('job', { wait: '10s' })
  await clock.advance(2_999)
  assert.equal(lock.signal.aborted, false)
  await clock.advance(500)
  assert.equal(lock.signal.aborted, true)
  const next = await waiting
  assert.ok(next.token > lock.token)
  await assert.rejects(lock.renew(), hasCode('SLUICE_LOCK_LOST'))
})

test('waiting for a lock ends at its limit', async () => {
  const clock = new ManualClock()
  await using connected = await connectRedis({}, { clock })
  await using held = await connected.cache.lock('job', { ttl: '1h' })
  const waiting = assert.rejects(connected.cache.lock('job', { wait: '5s' }), hasCode('SLUICE_CONFLICT'))
  await clock.advance(5_000)
  await waiting
  assert.equal(held.signal.aborted, false)
})

test('a stale value is served until its time is over, and not longer', async () => {
  const clock = new ManualClock()
  await using connected = await connectRedis({}, { clock })
  const { cache } = connected
  const options = { staleFor: '10s', jitter: 0 } as const
  assert.equal(await cache.cached('k', '1s', () => 1, options), 1)
  await clock.advance(500)
  assert.equal(await cache.cached('k', '1s', () => 2, options), 1, 'fresh')
  await clock.advance(600)
  assert.equal(await cache.cached('k', '1s', () => Promise.reject(new Error('down')), options), 1, 'stale')
  await clock.advance(9_000)
  assert.equal(
    await cache.cached('k', '1s', () => Promise.reject(new Error('down')), options),
    1,
    'still stale',
  )
  await clock.advance(1_000)
  await assert.rejects(
    cache.cached('k', '1s', () => Promise.reject(new Error('down')), options),
    /down/,
  )
})

test('globs match as the server matches them', () => {
  const table: readonly (readonly [string, string, boolean])[] = [
    ['*', 'anything\nat all', true],
    ['user:*', 'user:', true],
    ['user:*', 'users', false],
    ['h?llo', 'hello', true],
    ['h?llo', 'hllo', false],
    ['h[ae]llo', 'hallo', true],
    ['h[^ae]llo', 'hallo', false],
    ['h[a-c]llo', 'hbllo', true],
    ['h\\*llo', 'h*llo', true],
    ['h\\*llo', 'hello', false],
    ['a.c', 'abc', false],
    ['(a|b)+$', '(a|b)+$', true],
    ['[]]', ']', false],
    ['**a**', 'bab', true],
  ]
  for (const [glob, text, matches] of table)
    assert.equal(globToRegExp(glob).test(text), matches, `${glob} ~ ${text}`)
})

test('a hostile glob takes no time', () => {
  const from = cpuMs()
  globToRegExp('*a'.repeat(12)).test('a'.repeat(200))
  globToRegExp('*'.repeat(10_000)).test('a'.repeat(10_000))
  assert.ok(cpuMs() - from < 1_000)
})

test('the sweep goes on where it stopped while keys come and go', () => {
  const clock = new ManualClock()
  const store = new MemoryStore({ maxEntries: 1_000, maxBytes: 1_000_000 }, clock)
  for (let at = 0; at < 100; at += 1)
    store.put(`k${at}`, { type: 'string', text: 'x' }, 2, at % 2 === 0 ? -1 : Infinity)
  for (let round = 0; round < 30; round += 1) {
    store.sweep(5)
    store.get('k1')
    store.put(`new${round}`, { type: 'string', text: 'x' }, 2)
  }
  store.sweep(1_000)
  assert.equal(store.facts.entries, 80)
  assert.equal(store.facts.expired, 50)
})
