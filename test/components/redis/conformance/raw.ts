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
  it('a command that would change or hold up the shared connection is refused, and says what to use', async () => {
    await using connected = await connect()
    const { cache } = connected
    const refused: readonly (readonly [readonly string[], RegExp])[] = [
      [['MULTI'], /multi\(\)/],
      [['exec'], /multi\(\)/],
      [['DISCARD'], /multi\(\)/],
      [['WATCH', 'a'], /script/],
      [['SELECT', '3'], /db of the component/],
      [['AUTH', 'ada', 'hunter2'], /password/],
      [['HELLO', '3'], /component/],
      [['RESET'], /component/],
      [['Quit'], /component/],
      [['SUBSCRIBE', 'a'], /subscribe\(\)/],
      [['PSUBSCRIBE', 'a*'], /subscribe\(\)/],
      [['SSUBSCRIBE', 'a'], /subscribe\(\)/],
      [['MONITOR'], /connection of your own/],
      [['CLIENT', 'REPLY', 'OFF'], /connection of your own/],
      [['client', 'no-evict', 'on'], /connection of your own/],
      [['CLIENT', 'TRACKING', 'ON'], /connection of your own/],
      [['SCRIPT', 'DEBUG', 'YES'], /connection of your own/],
      [['BLPOP', 'a', '0'], /jobs/],
      [['BZMPOP', '0', '1', 'a', 'MIN'], /jobs/],
      [['XREAD', 'COUNT', '1', 'BLOCK', '0', 'STREAMS', 'a', '$'], /jobs/],
      [['XREADGROUP', 'GROUP', 'g', 'c', 'block', '0', 'STREAMS', 'a', '>'], /jobs/],
      [['XREADGROUP', 'BLOCK', '0', 'GROUP', 'g', 'c', 'STREAMS', 'a', '>'], /jobs/],
      [['WAIT', '1', '0'], /jobs/],
      [['WAITAOF', '1', '0', '0'], /jobs/],
    ]
    for (const [command, hint] of refused) {
      await assert.rejects(cache.command(command), (error) => {
        assert.ok(hasCode('SLUICE_UNSUPPORTED')(error), String(error))
        assert.match((error as { hint?: string }).hint ?? '', hint)
        assert.doesNotMatch(String(error), /hunter2/)
        return true
      })
    }
    await assert.rejects(cache.command([Buffer.from('multi')]), hasCode('SLUICE_UNSUPPORTED'))
    await cache.set('user', 'ada')
    assert.equal(await cache.get('user'), 'ada')
    // A name is no option: these are the server's to answer, and memory knows no streams.
    for (const command of [
      ['XREAD', 'STREAMS', 'block', '0'],
      ['XREADGROUP', 'GROUP', 'block', 'block', 'STREAMS', 'a', '>'],
    ]) {
      const told = await cache.command(command).then(String, String)
      assert.doesNotMatch(told, /connection to itself/)
    }
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
