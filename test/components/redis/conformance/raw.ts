import assert from 'node:assert/strict'
import { it } from 'node:test'
import { defineScript } from '../../../../src/components/redis/index.ts'
import type { RedisFactory } from '../conformance.ts'
import { hasCode, ownPrefix } from '../support.ts'

export function rawConformance(connect: RedisFactory): void {
  it('scan finds every key of its own prefix, without the prefix, and no other', async () => {
    await using connected = await connect({ keyPrefix: `${ownPrefix()}[a]*` })
    const { cache } = connected
    await cache
      .setBatch(Object.fromEntries(Array.from({ length: 700 }, (_, at) => [`user:${at}`, at])))
      .waitAll()
    await cache.sadd('user:set', 'x')
    await cache.set('other', 'x')
    const found = new Set<string>()
    for await (const key of cache.scan({ match: 'user:*', count: 50 })) found.add(key)
    assert.equal(found.size, 701)
    const sets: string[] = []
    for await (const key of cache.scan({ type: 'set' })) sets.push(key)
    assert.deepEqual(sets, ['user:set'])
    await assert.rejects(cache.scan({ count: 0 }).next(), hasCode('SLUICE_INVALID_ARGUMENT'))
  })
  it('a raw command goes through as it is, and its reply too', async () => {
    const prefix = ownPrefix()
    await using connected = await connect({ keyPrefix: prefix })
    const { cache } = connected
    assert.equal(await cache.command(['SET', `${prefix}a`, 'x']), 'OK')
    assert.equal(await cache.get('a'), 'x')
    assert.deepEqual(await cache.command(['GET', `${prefix}a`], { binary: true }), Buffer.from('x'))
    await assert.rejects(cache.command([]), hasCode('SLUICE_INVALID_ARGUMENT'))
  })
  it('an unknown command is refused with SLUICE_UNSUPPORTED, without its arguments', async () => {
    await using connected = await connect()
    await assert.rejects(connected.cache.command(['NOSUCH', 'secret']), (error) => {
      assert.doesNotMatch(JSON.stringify([String(error), (error as Error).cause]), /secret/)
      return hasCode('SLUICE_UNSUPPORTED')(error)
    })
  })
  it('a script runs as one step, also before the server knows it', async () => {
    await using connected = await connect()
    const { cache } = connected
    const addAndRead = defineScript({
      name: 'add-and-read',
      // The comment makes it new to every server.
      lua: `-- ${ownPrefix()}
        redis.call('INCRBY', KEYS[1], ARGV[1])
        return { redis.call('GET', KEYS[1]), 7 }`,
      native: (redis, keys, args) => {
        redis.call('INCRBY', keys[0] as string, args[0] as string)
        return [redis.call('GET', keys[0] as string), 7]
      },
    })
    const replies = await Promise.all(Array.from({ length: 20 }, () => cache.script(addAndRead, ['n'], [2])))
    assert.deepEqual(replies.at(-1), ['40', 7])
  })
  it('with sets the options of each call without touching the client', async () => {
    await using connected = await connect()
    const { cache } = connected
    const controller = new AbortController()
    const view = cache.with({ signal: controller.signal, timeout: '5s' })
    await view.set('a', '1')
    controller.abort(new Error('over'))
    await assert.rejects(view.get('a'), /over/)
    assert.match(String((await view.getBatch(['a']).waitAll()).errors[0]), /over/)
    assert.equal(await cache.get('a'), '1')
    await assert.rejects(cache.with({ timeout: 'soon' }).get('a'), hasCode('SLUICE_INVALID_ARGUMENT'))
  })
}
