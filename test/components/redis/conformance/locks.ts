import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RedisFactory } from '../conformance.ts'
import { hasCode } from '../support.ts'

export function locksConformance(connect: RedisFactory): void {
  it('one of many callers gets the lock, the others are told that another has it', async () => {
    await using connected = await connect()
    const { cache } = connected
    const settled = await Promise.allSettled(Array.from({ length: 50 }, () => cache.lock('job')))
    const locks = settled.filter((each) => each.status === 'fulfilled').map((each) => each.value)
    assert.equal(locks.length, 1)
    for (const each of settled) {
      if (each.status === 'rejected') assert.ok(hasCode('SLUICE_CONFLICT')(each.reason), String(each.reason))
    }
    assert.equal(await locks[0]?.release(), true)
    assert.equal(await locks[0]?.release(), true, 'release is idempotent')
  })
  it('a caller that gives up in any turn of the taking leaves no lock behind', async () => {
    await using connected = await connect()
    const { cache } = connected
    for (let turns = 0; turns < 40; turns += 1) {
      const controller = new AbortController()
      const taking = cache.lock(`turn:${turns}`, { signal: controller.signal }).catch(() => undefined)
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve()
      controller.abort()
      await (await taking)?.release()
      const next = await cache.lock(`turn:${turns}`, { wait: '5s' })
      assert.equal(await next.release(), true)
    }
  })
  it('fencing tokens grow with each taking', async () => {
    await using connected = await connect()
    const tokens: number[] = []
    for (let at = 0; at < 20; at += 1) {
      await using lock = await connected.cache.lock(`job:${at % 2}`)
      tokens.push(lock.token)
    }
    assert.ok(
      tokens.every((token, at) => Number.isSafeInteger(token) && (at === 0 || token > tokens[at - 1]!)),
    )
  })
  it('holders take turns and never overlap', async () => {
    await using connected = await connect()
    const { cache } = connected
    let holders = 0
    let rounds = 0
    await Promise.all(
      Array.from({ length: 8 }, () =>
        cache.withLock('job', { wait: '10s' }, async () => {
          holders += 1
          assert.equal(holders, 1)
          await cache.incr('n')
          holders -= 1
          rounds += 1
        }),
      ),
    )
    assert.equal(rounds, 8)
  })
  it('a lock that another took over is lost: its signal aborts, and it releases nothing of the other', async () => {
    await using connected = await connect()
    const { cache } = connected
    const lock = await cache.lock('job', { renew: false })
    await cache.del('lock:job')
    const other = await cache.lock('job')
    assert.ok(other.token > lock.token)
    await assert.rejects(lock.renew(), hasCode('SLUICE_LOCK_LOST'))
    assert.equal(lock.signal.aborted, true)
    assert.ok(hasCode('SLUICE_LOCK_LOST')(lock.signal.reason))
    assert.equal(await lock.release(), false)
    await other.renew()
    assert.equal(await other.release(), true)
  })
  it('withLock rejects with SLUICE_LOCK_LOST when the lock was lost under its function', async () => {
    await using connected = await connect()
    const { cache } = connected
    const work = cache.withLock('job', { renew: false }, async (lock) => {
      await cache.del('lock:job')
      await lock.renew().catch(() => {})
      return 'done'
    })
    await assert.rejects(work, hasCode('SLUICE_LOCK_LOST'))
  })
  it('withLock gives the lock back when its function throws', async () => {
    await using connected = await connect()
    const { cache } = connected
    await assert.rejects(
      cache.withLock('job', {}, () => Promise.reject(new Error('boom'))),
      /boom/,
    )
    await using lock = await cache.lock('job')
    assert.equal(lock.signal.aborted, false)
  })
  it('a caller that gives up waiting leaves nothing behind', async () => {
    await using connected = await connect()
    const { cache } = connected
    const lock = await cache.lock('job')
    const controller = new AbortController()
    const waiting = cache.lock('job', { wait: '1h', signal: controller.signal })
    const reason = new Error('enough')
    controller.abort(reason)
    await assert.rejects(waiting, (error) => error === reason)
    await lock.release()
    await using again = await cache.lock('job')
    assert.ok(again.token > lock.token)
  })
  it('wrong options are refused', async () => {
    await using connected = await connect()
    await assert.rejects(connected.cache.lock('a', { ttl: 0 }), hasCode('SLUICE_INVALID_ARGUMENT'))
    await assert.rejects(connected.cache.lock('a', { wait: 'soon' }), hasCode('SLUICE_INVALID_ARGUMENT'))
  })
}
