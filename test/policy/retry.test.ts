import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import fc from 'fast-check'
import { SluiceError } from '../../src/core/errors.ts'
import { retry } from '../../src/policy/retry.ts'
import { RetryBudget } from '../../src/policy/retry-budget.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const unavailable = new SluiceError('SLUICE_UNAVAILABLE', 'gone', { retryable: true })
const random = (): number => 0.5

test('what fails retryably is tried again after 25, 50, … ms, and the last error is the one rejected with', async () => {
  const clock = new ManualClock()
  const times: number[] = []
  const errors = [1, 2, 3].map((n) => new SluiceError('SLUICE_UNAVAILABLE', `no ${n}`, { retryable: true }))
  const result = retry(
    (attempt) => {
      times.push(clock.monotonic())
      return Promise.reject(errors[attempt - 1]!)
    },
    { clock, random },
  )
  const check = assert.rejects(result, (error: unknown) => error === errors[2])
  await clock.advance(1_000)
  await check
  assert.deepEqual(times, [0, 25, 75])
})

test('what is not retryable is tried once', async () => {
  let tries = 0
  const work = (): never => {
    tries += 1
    throw new SluiceError('SLUICE_QUERY', 'syntax error')
  }
  await assert.rejects(retry(work), { code: 'SLUICE_QUERY' })
  assert.equal(tries, 1)
})

test('an abort ends the back-off at once, with its reason, and leaves no timer and no listener', async () => {
  const clock = new ManualClock()
  const controller = new AbortController()
  let tries = 0
  const result = retry(() => Promise.reject((tries += 1) > 0 && unavailable), {
    clock,
    random,
    signal: controller.signal,
  })
  await clock.advance(1)
  assert.equal(clock.pending, 1)
  const reason = new Error('enough')
  controller.abort(reason)
  await assert.rejects(result, (error: unknown) => error === reason)
  assert.equal(tries, 1)
  assert.equal(clock.pending, 0)
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
})

test('an aborted signal keeps the first attempt from starting', async () => {
  const reason = new Error('before')
  let tries = 0
  await assert.rejects(
    retry(() => (tries += 1), { signal: AbortSignal.abort(reason) }),
    (error: unknown) => error === reason,
  )
  assert.equal(tries, 0)
})

test('a number of attempts that is none is refused', async () => {
  for (const attempts of [0, -1, 1.5, NaN]) {
    await assert.rejects(
      retry(() => 1, { attempts }),
      { code: 'SLUICE_INVALID_ARGUMENT' },
    )
  }
})

test('under total failure there are no more retries than the budget holds', async () => {
  const budget = new RetryBudget({ capacity: 4 })
  const clock = new ManualClock()
  let attempts = 0
  const calls = Array.from({ length: 100 }, () =>
    retry(() => Promise.reject((attempts += 1) > 0 && unavailable), { clock, random, budget }),
  )
  const settled = Promise.allSettled(calls)
  await clock.advance(10_000)
  await settled
  assert.equal(attempts, 104)
})

test('whatever succeeds and fails, retries stay below a tenth of the calls that succeeded and the reserve', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 2_000 }), fc.nat(20), (outcomes, capacity) => {
      const budget = new RetryBudget({ capacity })
      let retries = 0
      let successes = 0
      for (const ok of outcomes) {
        if (ok) {
          budget.succeeded()
          successes += 1
        } else if (budget.tryTake()) retries += 1
        assert(budget.tokens >= 0 && budget.tokens <= capacity)
        assert(retries <= capacity + successes * 0.1 + 1e-6)
      }
    }),
  )
})

test('a budget outside its range is refused', () => {
  for (const options of [{ capacity: -1 }, { capacity: Infinity }, { ratio: 1.1 }, { ratio: NaN }]) {
    assert.throws(() => new RetryBudget(options), { code: 'SLUICE_INVALID_ARGUMENT' })
  }
})
