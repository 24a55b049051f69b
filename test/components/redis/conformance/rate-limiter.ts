import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RedisFactory } from '../conformance.ts'
import { hasCode } from '../support.ts'

export function rateLimiterConformance(connect: RedisFactory): void {
  it('a limiter gives out its limit and no more, however many ask at once', async () => {
    await using connected = await connect()
    const limiter = connected.cache.rateLimiter({ limit: 20, window: '1h' })
    const decisions = await Promise.all(Array.from({ length: 200 }, () => limiter.take('ip')))
    const allowed = decisions.filter((each) => each.allowed)
    assert.equal(allowed.length, 20)
    assert.deepEqual(
      allowed.map((each) => each.remaining),
      Array.from({ length: 20 }, (_, at) => 19 - at),
    )
    const refused = decisions.find((each) => !each.allowed)
    assert.equal(refused?.remaining, 0)
    assert.ok(refused.retryAfterMs > 170_000 && refused.retryAfterMs <= 180_000, `${refused.retryAfterMs}`)
    assert.ok(
      refused.resetAfterMs > 3_590_000 && refused.resetAfterMs <= 3_600_000,
      `${refused.resetAfterMs}`,
    )
  })
  it('keys and names have buckets of their own, and reset fills one', async () => {
    await using connected = await connect()
    const logins = connected.cache.rateLimiter({ limit: 1, window: '1h', name: 'logins' })
    const mails = connected.cache.rateLimiter({ limit: 1, window: '1h', name: 'mails' })
    assert.equal((await logins.take('a')).allowed, true)
    assert.equal((await logins.take('b')).allowed, true)
    assert.equal((await mails.take('a')).allowed, true)
    assert.equal((await logins.take('a')).allowed, false)
    await logins.reset('a')
    assert.equal((await logins.take('a')).allowed, true)
  })
  it('a cost takes several tokens or none', async () => {
    await using connected = await connect()
    const limiter = connected.cache.rateLimiter({ limit: 10, window: '1h' })
    assert.equal((await limiter.take('a', 7)).remaining, 3)
    const refused = await limiter.take('a', 4)
    assert.deepEqual([refused.allowed, refused.remaining], [false, 3])
    assert.equal((await limiter.take('a', 3)).remaining, 0)
  })
  it('impossible limits and costs are refused', async () => {
    await using connected = await connect()
    const { cache } = connected
    assert.throws(() => cache.rateLimiter({ limit: 0, window: '1s' }), hasCode('SLUICE_INVALID_ARGUMENT'))
    assert.throws(() => cache.rateLimiter({ limit: 5, window: 0 }), hasCode('SLUICE_INVALID_ARGUMENT'))
    const limiter = cache.rateLimiter({ limit: 5, window: '1s' })
    for (const cost of [0, 6, 1.5, NaN]) {
      await assert.rejects(limiter.take('a', cost), hasCode('SLUICE_INVALID_ARGUMENT'))
    }
  })
}
