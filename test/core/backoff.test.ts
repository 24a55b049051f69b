import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { backoffMs } from '../../src/core/backoff.ts'

test('the limit of the delay doubles with each attempt, up to the cap', () => {
  const limits = [1, 2, 3, 4, 5, 2_000].map((attempt) => backoffMs(attempt, 1, { baseMs: 50, capMs: 400 }))
  assert.deepEqual(limits, [50, 100, 200, 400, 400, 400])
})

test('the delay is always finite, never negative and below the cap', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (n, random) => {
        const ms = backoffMs(n, random, { baseMs: 50, capMs: 30_000 })
        assert(ms >= 0 && ms < 30_000)
      },
    ),
  )
})
