import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createRateLimiter, type RateLimitOptions } from '../../src/policy/rate-limit.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

function setup(options: Partial<RateLimitOptions> = {}) {
  const clock = new ManualClock()
  return { clock, limiter: createRateLimiter({ name: 'login', limit: 5, per: '1s', clock, ...options }) }
}

test('a token bucket gives its burst at once and then one call at each interval', async () => {
  const { clock, limiter } = setup({ burst: 2 })
  assert.deepEqual(limiter.tryTake(), { allowed: true, remaining: 1 })
  assert.deepEqual(limiter.tryTake(), { allowed: true, remaining: 0 })
  assert.deepEqual(limiter.tryTake(), { allowed: false, remaining: 0, retryAfterMs: 200 })
  await clock.advance(199)
  assert.deepEqual(limiter.tryTake(), { allowed: false, remaining: 0, retryAfterMs: 1 })
  await clock.advance(1)
  assert.equal(limiter.tryTake().allowed, true)
  await clock.advance(60_000)
  assert.deepEqual(limiter.tryTake(), { allowed: true, remaining: 1 })
})

test('a sliding window allows again when the oldest call leaves it', async () => {
  const { clock, limiter } = setup({ limit: 2, algorithm: 'sliding-window' })
  limiter.tryTake()
  await clock.advance(300)
  limiter.tryTake()
  assert.deepEqual(limiter.tryTake(), { allowed: false, remaining: 0, retryAfterMs: 700 })
  await clock.advance(700)
  assert.deepEqual(limiter.tryTake(), { allowed: true, remaining: 0 })
  assert.deepEqual(limiter.tryTake(), { allowed: false, remaining: 0, retryAfterMs: 300 })
})

test('take throws an error that names the limit and says when to come again', () => {
  const { limiter } = setup({ limit: 1 })
  limiter.take('ann')
  assert.throws(() => limiter.take('ann'), {
    code: 'SLUICE_RATE_LIMITED',
    message: '"login" allows 1 calls in 1000 ms',
    retryable: true,
    details: { retryAfterMs: 1_000 },
  })
  limiter.take('bob')
})

test('more keys than are kept apart: the least recently used is forgotten', () => {
  const { limiter } = setup({ limit: 1, maxKeys: 2 })
  for (const key of ['a', 'b', 'a', 'c']) limiter.tryTake(key)
  assert.equal(limiter.tryTake('a').allowed, false)
  assert.equal(limiter.tryTake('b').allowed, true)
})

test('in any history, a sliding window never allows more than the limit, and a bucket not more than burst and flow', () => {
  const waits = fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 })
  const rules = fc.record({ limit: fc.integer({ min: 1, max: 7 }), burst: fc.integer({ min: 1, max: 9 }) })
  fc.assert(
    fc.property(waits, rules, (steps, { limit, burst }) => {
      for (const algorithm of ['sliding-window', 'token-bucket'] as const) {
        let now = 0
        const clock = new (class extends ManualClock {
          override monotonic(): number {
            return now
          }
        })()
        const limiter = createRateLimiter({ name: 'x', limit, burst, per: 1_000, algorithm, clock })
        const allowed: number[] = []
        for (const wait of steps) {
          now += wait
          const decision = limiter.tryTake()
          if (decision.allowed) allowed.push(now)
          else {
            // It is not allowed earlier than it says, and is then.
            const at = now
            now += decision.retryAfterMs
            if (limiter.tryTake().allowed) allowed.push(now)
            else assert.fail(`refused at ${at} until ${now}, and refused then`)
          }
        }
        for (const [i, from] of allowed.entries()) {
          const inWindow = allowed.slice(i).filter((at) => at < from + 1_000).length
          const most = algorithm === 'token-bucket' ? burst + limit : limit
          assert(inWindow <= most, `${algorithm}: ${inWindow} in a window`)
        }
      }
    }),
  )
})

test('options outside their range are refused', () => {
  const bad: Partial<RateLimitOptions>[] = [
    { limit: 0 },
    { limit: 1.5 },
    { burst: 0 },
    { maxKeys: 0 },
    { per: 0 },
    { per: 'soon' },
  ]
  for (const options of bad) assert.throws(() => setup(options), { code: 'SLUICE_INVALID_ARGUMENT' })
})
