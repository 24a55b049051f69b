/** What neither a timer nor the database takes is refused where it is written, and not by the database later. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { SluiceError } from '../../src/core/errors.ts'
import { entryOf, planOf } from '../../src/cron/entry.ts'
import { job, noRetry, type JobOptions } from '../../src/jobs/index.ts'
import { eventually, testJobs } from './support.ts'

const options = { timeout: 60_000 }
const code = 'SLUICE_INVALID_ARGUMENT'
const Work = job('work', z.number())
const HUGE = '200000000d'

test('durations of job() out of their bounds are refused, with both bounds', () => {
  const per = (of: number | string): JobOptions => ({ rate: { limit: 1, per: of } })
  for (const [given, place, bounds] of [
    [per(0), 'rate.per', '1ms to 365d'],
    [per(0.001), 'rate.per', '1ms to 365d'],
    [per(HUGE), 'rate.per', '1ms to 365d'],
    [{ keepResult: HUGE }, 'keepResult', '0 to 3650d'],
    [{ timeout: 0 }, 'timeout', '1ms to 24d'],
    [{ timeout: '25d' }, 'timeout', '1ms to 24d'],
    [{ backoff: { base: HUGE } }, 'backoff.base', '0 to 365d'],
    [{ backoff: { max: HUGE } }, 'backoff.max', '0 to 365d'],
  ] as const) {
    const message = new RegExp(`^job "a": ${place}: expected a duration from ${bounds}, got `)
    assert.throws(() => job('a', z.number(), given), { code, message })
  }
  const most = { timeout: '24d', keepResult: '3650d', backoff: { base: 0, max: '365d' } } as const
  assert.equal(job('a', z.number(), { ...most, ...per('365d') }).keepResultMs, 3_650 * 86_400_000)
})

test('the timeout of a schedule has bounds too', () => {
  const plan = planOf('schedule "a"', '@daily', {})
  for (const timeout of [0, HUGE]) {
    const message = /^schedule "a": timeout: expected a duration from 1ms to 24d, got /
    assert.throws(() => entryOf('a', plan, () => {}, { timeout }), { code, message })
  }
})

test('half a surrogate pair in one job harms none of those that are enqueued with it', options, async () => {
  await using it = await testJobs()
  await it.jobs.enqueue(Work, 0)
  for (const bad of [{ key: 'x\ud800' }, { group: '\udc00' }, { unique: 'x\ud800' }, { group: 'a\0' }]) {
    const calls = Array.from({ length: 20 }, (_, at) => it.jobs.enqueue(Work, at, at === 7 ? bad : {}))
    const results = await Promise.allSettled(calls)
    const failed = results.flatMap((each, at) => (each.status === 'rejected' ? [at] : []))
    assert.deepEqual(failed, [7])
    await assert.rejects(calls[7]!, { code, message: /a text of 1 to 200 characters that can be stored/ })
  }
  const tooLong = { key: 'k', for: HUGE } as const
  await assert.rejects(it.jobs.enqueue(Work, 1, { unique: tooLong }), { code, message: /1ms to 3650d/ })
})

test('a handler that would get no transaction is refused one', options, async () => {
  await using it = await testJobs()
  const url = new URL('file:///nowhere.mjs')
  for (const [handler, given, message] of [
    [() => {}, { batch: 5, transaction: true }, /transaction: expected none, as a batch has none/],
    [url, { transaction: true }, /transaction: expected none, as a handler in a thread has none/],
    [url, { batch: 5 }, /batch: expected none, as a thread is handed one job at a time/],
    [() => {}, { transaction: 'yes' }, /transaction: expected true or false/],
  ] as const) {
    assert.throws(() => it.jobs.handle(Work, handler as () => void, given as object), { code, message })
  }
  // Nothing was registered.
  it.jobs.handle(Work, () => {}, { transaction: false })
})

for (const transaction of [false, true]) {
  test(
    `a result that JSON cannot hold is a dead letter at once, transaction: ${transaction}`,
    options,
    async () => {
      await using it = await testJobs()
      const Odd = job('odd', z.number(), { attempts: 3, backoff: { base: 1, max: 1 }, keepResult: '1h' })
      const circle: unknown[] = []
      circle.push(circle)
      const results = [new Map(), () => {}, circle, 1n, 'x'.repeat(1_100_000)]
      it.jobs.handle(Odd, ({ data }) => results[data], { transaction })
      await it.jobs.enqueueMany(
        Odd,
        results.map((_, data) => ({ data })),
      )
      const dead = await eventually(async () => {
        const list = await it.jobs.deadLetters.list()
        return list.length === results.length ? list : undefined
      })
      for (const { attempt, why } of dead) {
        assert.equal(attempt, 1)
        assert.match(why, /^SLUICE_(INVALID_DATA|TOO_LARGE): result of job "odd": /)
      }
    },
  )
}

test('an error of sluice marked by noRetry is heeded in a transaction too', options, async () => {
  await using it = await testJobs()
  const gone = new SluiceError('SLUICE_NOT_FOUND', 'no such user')
  it.jobs.handle(Work, () => Promise.reject(noRetry(gone)), { transaction: true })
  const { id } = await it.jobs.enqueue(Work, 1)
  const dead = await eventually(() => it.jobs.deadLetters.get(id))
  assert.equal(dead.attempt, 1)
  assert.equal(dead.why, 'SLUICE_NOT_FOUND: no such user')
})
