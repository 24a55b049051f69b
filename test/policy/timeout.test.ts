import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { withTimeout } from '../../src/policy/timeout.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const never = (): Promise<never> => new Promise(() => {})

test('the error says which limit fired, and the work is told by its signal', async () => {
  const clock = new ManualClock()
  let signal: AbortSignal | undefined
  const result = withTimeout(
    (given) => {
      signal = given
      return never()
    },
    { name: 'postgres: connect', timeout: '5s', clock },
  )
  const check = assert.rejects(result, {
    code: 'SLUICE_TIMEOUT',
    message: '"postgres: connect" timed out after 5000 ms',
  })
  await clock.advance(4_999)
  assert.equal(signal?.aborted, false)
  await clock.advance(1)
  await check
  assert.equal(signal?.aborted, true)
})

test('work that is done in time leaves no timer and no listener, also when it throws', async () => {
  const clock = new ManualClock()
  const { signal } = new AbortController()
  const options = { name: 'x', timeout: 100, clock, signal }
  assert.equal(await withTimeout(() => 7, options), 7)
  const mine = new Error('mine')
  await assert.rejects(
    withTimeout(() => {
      throw mine
    }, options),
    (error: unknown) => error === mine,
  )
  assert.equal(clock.pending, 0)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test("an abort ends the wait with the caller's reason, before and during the work", async () => {
  const reason = new Error('enough')
  let ran = false
  await assert.rejects(
    withTimeout(() => (ran = true), { name: 'x', timeout: 100, signal: AbortSignal.abort(reason) }),
    (error: unknown) => error === reason,
  )
  assert.equal(ran, false)
  const clock = new ManualClock()
  const controller = new AbortController()
  const result = withTimeout(never, { name: 'x', timeout: 100, clock, signal: controller.signal })
  controller.abort(reason)
  await assert.rejects(result, (error: unknown) => error === reason)
  assert.equal(clock.pending, 0)
})

test('a limit that is no duration is refused', async () => {
  await assert.rejects(
    withTimeout(() => 1, { name: 'x', timeout: 'soon' }),
    { code: 'SLUICE_INVALID_ARGUMENT' },
  )
})
