import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RedisFactory } from '../conformance.ts'
import { hasCode } from '../support.ts'

export function collectionsConformance(connect: RedisFactory): void {
  it('a hash keeps fields that are written and read one by one', async () => {
    await using connected = await connect()
    const { cache } = connected
    assert.equal(await cache.hgetall('h'), null)
    assert.equal(await cache.hget('h', 'name'), null)
    await cache.hset('h', { name: 'Ada', visits: 1 })
    assert.deepEqual({ ...(await cache.hgetall('h')) }, { name: 'Ada', visits: '1' })
    assert.equal(await cache.hget('h', 'name'), 'Ada')
    assert.deepEqual(await cache.hmget('h', ['visits', 'none']), ['1', null])
    assert.equal(await cache.hincrby('h', 'visits', 4), 5)
    assert.equal(await cache.hsetnx('h', 'name', 'Bob'), false)
    assert.equal(await cache.hsetnx('h', 'new', 'x'), true)
    assert.equal(await cache.hexists('h', 'new'), true)
    assert.deepEqual([...(await cache.hkeys('h'))].sort(), ['name', 'new', 'visits'])
    assert.equal(await cache.hlen('h'), 3)
    assert.equal(await cache.hdel('h', ['name', 'new', 'none']), 2)
    assert.equal(await cache.hdel('h', 'visits'), 1)
    assert.equal(await cache.exists('h'), false)
  })
  it('a field named __proto__ is a field and nothing else', async () => {
    await using connected = await connect()
    const { cache } = connected
    await cache.hset('h', JSON.parse('{"__proto__": "x", "constructor": "y"}') as Record<string, string>)
    const fields = await cache.hgetall('h')
    assert.deepEqual(Object.entries(fields ?? {}), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ])
    assert.equal(Object.getPrototypeOf(fields), null)
  })
  it('a list gives back what was pushed at either end', async () => {
    await using connected = await connect()
    const { cache } = connected
    assert.equal(await cache.lpop('l'), null)
    assert.equal(await cache.rpush('l', ['a', 'b', 'c']), 3)
    assert.equal(await cache.lpush('l', ['y', 'x']), 5)
    assert.deepEqual(await cache.lrange('l'), ['x', 'y', 'a', 'b', 'c'])
    assert.deepEqual(await cache.lrange('l', -2), ['b', 'c'])
    assert.deepEqual(await cache.lrange('l', 3, 1), [])
    assert.equal(await cache.lpop('l'), 'x')
    assert.equal(await cache.rpop('l'), 'c')
    await cache.ltrim('l', 0, 1)
    assert.deepEqual(await cache.lrange('l'), ['y', 'a'])
    await cache.ltrim('l', 5, 9)
    assert.equal(await cache.llen('l'), 0)
    assert.equal(await cache.exists('l'), false)
  })
  it('a set holds each member once', async () => {
    await using connected = await connect()
    const { cache } = connected
    assert.equal(await cache.sadd('s', ['a', 'b', 'a']), 2)
    assert.equal(await cache.sadd('s', 'b'), 0)
    assert.deepEqual([...(await cache.smembers('s'))].sort(), ['a', 'b'])
    assert.equal(await cache.sismember('s', 'a'), true)
    assert.equal(await cache.sismember('s', 'c'), false)
    assert.equal(await cache.scard('s'), 2)
    assert.equal(await cache.srem('s', ['a', 'b', 'c']), 2)
    assert.equal(await cache.exists('s'), false)
  })
  it('a sorted set is ordered by score, then by bytes', async () => {
    await using connected = await connect()
    const { cache } = connected
    assert.equal(await cache.zadd('z', { b: 1, a: 1, c: 0.5, far: Infinity }), 4)
    assert.deepEqual(
      (await cache.zrange('z')).map(({ member }) => member),
      ['c', 'a', 'b', 'far'],
    )
    assert.deepEqual(await cache.zrange('z', { start: 0, stop: 0, reverse: true }), [
      { member: 'far', score: Infinity },
    ])
    assert.deepEqual(await cache.zrangeByScore('z', { min: 0.5, max: 1, limit: 2 }), [
      { member: 'c', score: 0.5 },
      { member: 'a', score: 1 },
    ])
    assert.deepEqual(
      (await cache.zrangeByScore('z', { max: 1, reverse: true, offset: 1 })).map(({ member }) => member),
      ['a', 'c'],
    )
    assert.equal(await cache.zscore('z', 'far'), Infinity)
    assert.equal(await cache.zscore('z', 'none'), null)
    assert.equal(await cache.zincrby('z', 'a', 2.5), 3.5)
    assert.equal(await cache.zremByScore('z', 3, Infinity), 2)
    assert.equal(await cache.zcard('z'), 2)
    assert.equal(await cache.zrem('z', ['b', 'c']), 2)
    assert.equal(await cache.exists('z'), false)
  })
  it('a command on a key of another type is refused with SLUICE_QUERY', async () => {
    await using connected = await connect()
    const { cache } = connected
    await cache.set('a', 'text')
    await cache.sadd('s', 'x')
    const wrong = [
      () => cache.hget('a', 'f'),
      () => cache.lpush('a', 'x'),
      () => cache.sadd('a', 'x'),
      () => cache.zadd('a', { x: 1 }),
      () => cache.get('s'),
      () => cache.incr('s'),
      () => cache.hset('s', { a: 1 }),
    ]
    for (const each of wrong) await assert.rejects(each(), hasCode('SLUICE_QUERY'))
    assert.equal(await cache.type('a'), 'string')
    assert.equal(await cache.type('s'), 'set')
  })
  it('empty lists of members and fields reject with SLUICE_INVALID_ARGUMENT', async () => {
    await using connected = await connect()
    const { cache } = connected
    const wrong = [
      () => cache.hset('h', {}),
      () => cache.hmget('h', []),
      () => cache.sadd('s', []),
      () => cache.rpush('l', []),
      () => cache.zadd('z', {}),
      () => cache.zadd('z', { a: NaN }),
      () => cache.lrange('l', 0.5),
    ]
    for (const each of wrong) await assert.rejects(each(), hasCode('SLUICE_INVALID_ARGUMENT'))
  })
  it('JSON reads back as it was written, and anything else is refused without showing it', async () => {
    await using connected = await connect()
    const { cache } = connected
    const value = { id: 1, tags: ['a', 'ü'], nested: { none: null } }
    await cache.setJson('j', value, { ttl: '1h' })
    assert.deepEqual(await cache.getJson('j'), value)
    assert.equal(await cache.getJson('none'), null)
    await cache.set('text', 'secret text')
    await assert.rejects(cache.getJson('text'), (error) => {
      assert.doesNotMatch(String(error), /secret/)
      return hasCode('SLUICE_INVALID_ARGUMENT')(error)
    })
    await assert.rejects(cache.setJson('j', undefined), hasCode('SLUICE_INVALID_ARGUMENT'))
  })
}
