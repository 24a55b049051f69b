import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Gap } from '../../../../src/components/redis/index.ts'
import type { RedisFactory } from '../conformance.ts'
import { hasCode } from '../support.ts'

export function pubSubConformance(connect: RedisFactory): void {
  it('a subscriber receives the messages of its channel in order, and no others', async () => {
    await using connected = await connect()
    const { cache } = connected
    const received: string[] = []
    const done = Promise.withResolvers<void>()
    const subscription = cache.subscribe('news', (message, { channel }) => {
      received.push(`${channel}=${message}`)
      if (message === 'last') done.resolve()
    })
    await subscription.live
    await cache.publish('other', 'x')
    for (let at = 0; at < 50; at += 1) assert.equal(await cache.publish('news', String(at)), 1)
    await cache.publish('news', 'last')
    await done.promise
    assert.deepEqual(received, [...Array.from({ length: 50 }, (_, at) => `news=${at}`), 'news=last'])
    await subscription.close()
    assert.equal(await cache.publish('news', 'x'), 0)
  })
  it('a pattern matches channels, and two subscriptions of one channel both receive', async () => {
    await using connected = await connect()
    const { cache } = connected
    const received: string[] = []
    const done = Promise.withResolvers<void>()
    const handler =
      (name: string) =>
      (message: string, { channel }: { channel: string }) => {
        received.push(`${name} ${channel} ${message}`)
        if (received.length === 3) done.resolve()
      }
    const subscriptions = [
      cache.subscribe('user:*', handler('pattern'), { pattern: true }),
      cache.subscribe('user:1', handler('first')),
      cache.subscribe('user:1', handler('second')),
    ]
    await Promise.all(subscriptions.map(({ live }) => live))
    await cache.publish('user:1', 'hi')
    await done.promise
    assert.deepEqual(received.sort(), ['first user:1 hi', 'pattern user:1 hi', 'second user:1 hi'])
    await Promise.all(subscriptions.map((each) => each.close()))
  })
  it('a slow handler keeps a bounded queue, drops the oldest and says how many', async () => {
    await using connected = await connect()
    const { cache } = connected
    const handled: string[] = []
    const gaps: Gap[] = []
    const gate = Promise.withResolvers<void>()
    const started = Promise.withResolvers<void>()
    const last = Promise.withResolvers<void>()
    const subscription = cache.subscribe(
      'news',
      async (message) => {
        started.resolve()
        await gate.promise
        handled.push(message)
        if (message === '9') last.resolve()
      },
      { maxQueued: 3, onGap: (gap) => gaps.push(gap) },
    )
    // A second one tells when everything has arrived.
    const arrived = Promise.withResolvers<void>()
    const witness = cache.subscribe('news', (message) => (message === '9' ? arrived.resolve() : undefined))
    await Promise.all([subscription.live, witness.live])
    for (let at = 0; at < 10; at += 1) await cache.publish('news', String(at))
    await started.promise
    await arrived.promise
    gate.resolve()
    await last.promise
    assert.deepEqual(handled, ['0', '7', '8', '9'])
    assert.deepEqual(gaps, [{ reason: 'overflow', dropped: 6 }])
  })
  it('a handler that throws does not stop the next message', async () => {
    await using connected = await connect()
    const { cache } = connected
    const second = Promise.withResolvers<string>()
    const subscription = cache.subscribe('news', (message) => {
      if (message === '1') throw new Error('boom')
      second.resolve(message)
    })
    await subscription.live
    await cache.publish('news', '1')
    await cache.publish('news', '2')
    assert.equal(await second.promise, '2')
  })
  it('closing a subscription aborts its running handler and waits for it', async () => {
    await using connected = await connect()
    const { cache } = connected
    const started = Promise.withResolvers<void>()
    let ended = false
    const subscription = cache.subscribe('news', async (_message, { signal }) => {
      started.resolve()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      ended = true
    })
    await subscription.live
    await cache.publish('news', '1')
    await started.promise
    await subscription.close()
    assert.equal(ended, true)
  })
  it('a subscription made before connect comes alive with it; one closed before never does', async () => {
    await using connected = await connect({}, { idle: true })
    const { cache } = connected
    const message = Promise.withResolvers<string>()
    const early = cache.subscribe('news', (text) => message.resolve(text))
    const never = cache.subscribe('never', () => {})
    await never.close()
    await assert.rejects(never.live, hasCode('SLUICE_CLOSED'))
    await connected.connect()
    await early.live
    await cache.publish('news', 'hi')
    assert.equal(await message.promise, 'hi')
  })
  it('wrong options are refused', async () => {
    await using connected = await connect()
    const { cache } = connected
    assert.throws(() => cache.subscribe('a', () => {}, { maxQueued: 0 }), hasCode('SLUICE_INVALID_ARGUMENT'))
    assert.throws(
      () => cache.subscribe('a', () => {}, { concurrency: 1.5 }),
      hasCode('SLUICE_INVALID_ARGUMENT'),
    )
  })
}
