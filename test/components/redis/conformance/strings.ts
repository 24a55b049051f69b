import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RedisFactory } from '../conformance.ts'
import { hasCode } from '../support.ts'

export function stringsConformance(connect: RedisFactory): void {
  it('a key that was never set reads as null', async () => {
    await using connected = await connect()
    const { cache } = connected
    assert.equal(await cache.get('a'), null)
    assert.equal(await cache.getBuffer('a'), null)
    assert.equal(await cache.exists('a'), false)
    assert.equal(await cache.ttl('a'), null)
    assert.equal(await cache.type('a'), null)
    assert.equal(await cache.del('a'), 0)
  })
  it('text, numbers and bytes read back as they were written', async () => {
    await using connected = await connect()
    const { cache } = connected
    for (const text of [
      '',
      'plain',
      'ünï©ode 🙂',
      'line\r\nbreak',
      'nul\0byte',
      '*3\r\n$3\r\nDEL\r\n',
      'x'.repeat(100_000),
    ]) {
      assert.equal(await cache.set('text', text), true)
      assert.equal(await cache.get('text'), text)
    }
    await cache.set('number', 1.5)
    assert.equal(await cache.get('number'), '1.5')
    const bytes = Uint8Array.from([0, 255, 128, 10, 13])
    await cache.set('bytes', bytes)
    assert.deepEqual(await cache.getBuffer('bytes'), Buffer.from(bytes))
    await cache.set('text', 'as bytes')
    assert.deepEqual(await cache.getBuffer('text'), Buffer.from('as bytes'))
  })
  it('a lone surrogate is replaced, as UTF-8 has no room for it', async () => {
    await using connected = await connect()
    await connected.cache.set('a', 'x\ud800y')
    assert.equal(await connected.cache.get('a'), 'x\ufffdy')
  })
  it('a key may have any name', async () => {
    await using connected = await connect()
    const { cache } = connected
    for (const key of [
      "quo'te",
      'semi;colon',
      'nul\0',
      'a b',
      '$1',
      '__proto__',
      'k'.repeat(300),
      '\r\nFLUSHALL\r\n',
    ]) {
      await cache.set(key, key)
      assert.equal(await cache.get(key), key)
      assert.equal(await cache.del(key), 1)
    }
  })
  it('a key ends after its time to live', async () => {
    await using connected = await connect()
    const { cache } = connected
    await cache.set('a', '1', { ttl: '1h' })
    const left = await cache.ttl('a')
    assert.ok(left !== null && left > 3_590_000 && left <= 3_600_000, `ttl ${left}`)
    assert.equal(await cache.expire('a', '2h', { when: 'shorter' }), false)
    assert.equal(await cache.expire('a', '2h', { when: 'longer' }), true)
    assert.equal(await cache.persist('a'), true)
    assert.equal(await cache.persist('a'), false)
    assert.equal(await cache.ttl('a'), Infinity)
    assert.equal(await cache.expire('a', '1h', { when: 'expiring' }), false)
    assert.equal(await cache.expire('a', '1h', { when: 'lasting' }), true)
    assert.equal(await cache.expire('missing', '1h'), false)
  })
  it('set drops the time to live unless it is told to keep it', async () => {
    await using connected = await connect()
    const { cache } = connected
    await cache.set('a', '1', { ttl: '1h' })
    await cache.set('a', '2', { keepTtl: true })
    assert.notEqual(await cache.ttl('a'), Infinity)
    await cache.set('a', '3')
    assert.equal(await cache.ttl('a'), Infinity)
  })
  it('set with when writes only then, and says so', async () => {
    await using connected = await connect()
    const { cache } = connected
    assert.equal(await cache.set('a', '1', { when: 'present' }), false)
    assert.equal(await cache.set('a', '1', { when: 'absent' }), true)
    assert.equal(await cache.set('a', '2', { when: 'absent' }), false)
    assert.equal(await cache.get('a'), '1')
    assert.equal(await cache.set('a', '2', { when: 'present' }), true)
    assert.equal(await cache.get('a'), '2')
  })
  it('of a thousand callers that set an absent key, one succeeds', async () => {
    await using connected = await connect()
    const wins = await Promise.all(
      Array.from({ length: 1_000 }, (_, at) => connected.cache.set('a', at, { when: 'absent' })),
    )
    assert.equal(wins.filter(Boolean).length, 1)
  })
  it('a counter counts every increment once', async () => {
    await using connected = await connect()
    const { cache } = connected
    await Promise.all(Array.from({ length: 500 }, () => cache.incr('n')))
    assert.equal(await cache.get('n'), '500')
    assert.equal(await cache.incr('n', 10), 510)
    assert.equal(await cache.decr('n'), 509)
    assert.equal(await cache.decr('n', 9), 500)
    assert.equal(await cache.incrByFloat('n', 0.5), 500.5)
    await cache.expire('n', '1h')
    await cache.incrByFloat('n', 0.5)
    assert.notEqual(await cache.ttl('n'), Infinity)
  })
  it('counting what is no number is refused with SLUICE_QUERY and leaves it alone', async () => {
    await using connected = await connect()
    await connected.cache.set('a', 'secret text')
    await assert.rejects(connected.cache.incr('a'), (error) => {
      assert.ok(hasCode('SLUICE_QUERY')(error))
      assert.doesNotMatch(String(error), /secret/)
      return true
    })
    assert.equal(await connected.cache.get('a'), 'secret text')
  })
  it('take reads and deletes in one step', async () => {
    await using connected = await connect()
    await connected.cache.set('a', '1')
    const taken = await Promise.all(Array.from({ length: 50 }, () => connected.cache.take('a')))
    assert.deepEqual(
      taken.filter((each) => each !== null),
      ['1'],
    )
  })
  it('del counts the keys that were there', async () => {
    await using connected = await connect()
    await connected.cache.set('a', '1')
    await connected.cache.set('b', '1')
    assert.equal(await connected.cache.del(['a', 'b', 'c']), 2)
  })
  it('wrong arguments reject with SLUICE_INVALID_ARGUMENT before anything is sent', async () => {
    await using connected = await connect()
    const { cache } = connected
    const wrong = [
      () => cache.set('a', undefined as never),
      () => cache.set('a', NaN),
      () => cache.set('a', '1', { ttl: 0 }),
      () => cache.set('a', '1', { ttl: 'soon' }),
      () => cache.set('a', '1', { ttl: '1s', keepTtl: true }),
      () => cache.get(5 as never),
      () => cache.get(undefined as never),
      () => cache.del([]),
      () => cache.incr('a', 1.5),
      () => cache.incr('a', 2 ** 60),
      () => cache.incrByFloat('a', Infinity),
      () => cache.expire('a', -1),
    ]
    for (const each of wrong) await assert.rejects(each(), hasCode('SLUICE_INVALID_ARGUMENT'))
    assert.equal(await cache.exists('a'), false)
  })
  it('an aborted call rejects with the reason of its signal, and the client goes on', async () => {
    await using connected = await connect()
    const reason = new Error('no longer wanted')
    await assert.rejects(
      connected.cache.with({ signal: AbortSignal.abort(reason) }).get('a'),
      (error) => error === reason,
    )
    assert.equal(await connected.cache.get('a'), null)
  })
}
