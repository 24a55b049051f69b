import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { RedisFactory } from '../conformance.ts'
import { hasCode } from '../support.ts'

export function cachedConformance(connect: RedisFactory): void {
  it('a thousand callers load once', async () => {
    await using connected = await connect()
    const { cache } = connected
    let loads = 0
    const gate = Promise.withResolvers<void>()
    const load = async (): Promise<{ n: number }> => {
      loads += 1
      await gate.promise
      return { n: loads }
    }
    const callers = Array.from({ length: 1_000 }, () => cache.cached('k', '1h', load))
    gate.resolve()
    const values = await Promise.all(callers)
    assert.equal(loads, 1)
    assert.ok(values.every((value) => value.n === 1))
    assert.equal(new Set(values).size, 1_000, 'no caller can change the value of another')
    assert.deepEqual(await cache.cached('k', '1h', load), { n: 1 })
    assert.equal(loads, 1)
    assert.deepEqual(await cache.getJson('k'), { n: 1 })
  })
  it('callers that come right after the load still find no reason to load', async () => {
    await using connected = await connect()
    let loads = 0
    const load = (): number => (loads += 1)
    for (let round = 0; round < 200; round += 1) await connected.cache.cached('k', '1h', load)
    assert.equal(loads, 1)
  })
  it('the time to live is shortened at random and never lengthened', async () => {
    await using connected = await connect()
    const { cache } = connected
    await Promise.all(
      Array.from({ length: 20 }, (_, at) => cache.cached(`k${at}`, '100s', () => at, { jitter: 0.5 })),
    )
    const left = await Promise.all(Array.from({ length: 20 }, (_, at) => cache.ttl(`k${at}`)))
    assert.ok(
      left.every((ms) => ms !== null && ms > 49_000 && ms <= 100_000),
      String(left),
    )
    assert.ok(new Set(left).size > 5)
  })
  it('a load that fails rejects for everybody, and is not kept', async () => {
    await using connected = await connect()
    const { cache } = connected
    const boom = new Error('boom')
    const settled = await Promise.allSettled(
      Array.from({ length: 10 }, () => cache.cached('k', '1h', () => Promise.reject(boom))),
    )
    assert.ok(settled.every((each) => each.status === 'rejected' && each.reason === boom))
    assert.equal(await cache.cached('k', '1h', () => 'fine'), 'fine')
  })
  it('null is asked for again unless it is given a time to live', async () => {
    await using connected = await connect()
    const { cache } = connected
    let loads = 0
    const load = (): null => {
      loads += 1
      return null
    }
    assert.equal(await cache.cached('k', '1h', load), null)
    assert.equal(await cache.cached('k', '1h', load), null)
    assert.equal(loads, 2)
    await cache.cached('k', '1h', load, { negativeTtl: '1h' })
    assert.equal(await cache.cached('k', '1h', load), null)
    assert.equal(loads, 3)
  })
  it('what a caller gets has been through JSON on the first call too', async () => {
    await using connected = await connect()
    const load = (): unknown => ({ at: new Date(0), gone: undefined })
    const expected = { at: '1970-01-01T00:00:00.000Z' }
    assert.deepEqual(await connected.cache.cached('k', '1h', load), expected)
    assert.deepEqual(await connected.cache.cached('k', '1h', load), expected)
  })
  it('a value that JSON cannot hold rejects', async () => {
    await using connected = await connect()
    await assert.rejects(
      connected.cache.cached('k', '1h', () => 1n),
      hasCode('SLUICE_INVALID_ARGUMENT'),
    )
    await assert.rejects(
      connected.cache.cached('k', '1h', () => () => 1),
      hasCode('SLUICE_INVALID_ARGUMENT'),
    )
  })
  it('a stale value is served at once while one load goes on behind it', async () => {
    await using connected = await connect()
    const { cache } = connected
    const options = { staleFor: '1h', jitter: 0 } as const
    await cache.cached('k', '1m', () => 'old', options)
    // As if the minute were over: of 61 minutes less than the stale hour is left.
    await cache.expire('k', '30m')
    assert.equal(await cache.getJson('k'), 'old')
    const loading = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    let loads = 0
    const load = async (): Promise<string> => {
      loads += 1
      loading.resolve()
      await gate.promise
      return 'new'
    }
    const values = await Promise.all(Array.from({ length: 50 }, () => cache.cached('k', '1m', load, options)))
    assert.ok(values.every((value) => value === 'old'))
    await loading.promise
    assert.equal(loads, 1)
    gate.resolve()
    let value = 'old'
    while (value === 'old') {
      await setImmediate()
      value = await cache.cached('k', '1m', load, options)
    }
    assert.equal(value, 'new')
    assert.equal(loads, 1)
  })
  it('a key deleted during the load is not filled with what may be older', async () => {
    await using connected = await connect()
    const { cache } = connected
    const loading = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const first = cache.cached('k', '1h', async () => {
      loading.resolve()
      await gate.promise
      return 'before the change'
    })
    await loading.promise
    await cache.del('k')
    const second = cache.cached('k', '1h', () => 'after the change')
    gate.resolve()
    assert.equal(await first, 'before the change')
    assert.equal(await second, 'after the change')
    assert.equal(await cache.getJson('k'), 'after the change')
  })
  it('a caller that leaves does not end the load of the others; the last one does', async () => {
    await using connected = await connect()
    const { cache } = connected
    const loading = Promise.withResolvers<AbortSignal>()
    const gate = Promise.withResolvers<string>()
    const load = ({ signal }: { signal: AbortSignal }): Promise<string> => {
      loading.resolve(signal)
      return gate.promise
    }
    const leaver = cache.cached('k', '1h', load)
    const stayer = cache.cached('k', '1h', load)
    const signal = await loading.promise
    leaver.cancel(new Error('bye'))
    await assert.rejects(leaver, /bye/)
    assert.equal(signal.aborted, false)
    stayer.cancel(new Error('bye too'))
    await assert.rejects(stayer, /bye too/)
    assert.equal(signal.aborted, true)
    assert.equal(await cache.cached('k', '1h', () => 'anew'), 'anew')
  })
  it('what is no JSON at the key counts as a miss and is written over', async () => {
    await using connected = await connect()
    await connected.cache.set('k', 'plain text')
    assert.equal(await connected.cache.cached('k', '1h', () => 'loaded'), 'loaded')
    assert.equal(await connected.cache.getJson('k'), 'loaded')
  })
  it('with a lock, a load waits for whoever loads the same key elsewhere', async () => {
    await using connected = await connect()
    const { cache } = connected
    let loads = 0
    const load = (): string => {
      loads += 1
      return 'ours'
    }
    // Another process holds the lock of this key while it loads.
    const held = await cache.lock('cached:k')
    const waiting = cache.cached('k', '1h', load, { lock: '10s' })
    await cache.get('something else')
    assert.equal(loads, 0)
    await cache.setJson('k', 'theirs')
    await held.release()
    assert.equal(await waiting, 'theirs')
    assert.equal(loads, 0)
  })
  it('a loader that never ends is ended at its limit', async () => {
    await using connected = await connect()
    await assert.rejects(
      connected.cache.cached('k', '1h', () => new Promise(() => {}), { loadTimeout: 20 }),
      hasCode('SLUICE_TIMEOUT'),
    )
  })
  it('a cache that fails is gone around, or rejects when that is wanted', async () => {
    await using connected = await connect({}, { idle: true })
    const { cache } = connected
    assert.equal(await cache.cached('k', '1h', () => 'loaded'), 'loaded')
    await assert.rejects(
      cache.cached('other', '1h', () => 'loaded', { onCacheError: 'throw' }),
      hasCode('SLUICE_NOT_READY'),
    )
  })
  it('wrong options are refused', async () => {
    await using connected = await connect()
    const { cache } = connected
    await assert.rejects(
      cache.cached('k', 0, () => 1),
      hasCode('SLUICE_INVALID_ARGUMENT'),
    )
    await assert.rejects(
      cache.cached('k', '1s', () => 1, { jitter: 1 }),
      hasCode('SLUICE_INVALID_ARGUMENT'),
    )
  })
}
