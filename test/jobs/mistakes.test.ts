/** What is mistyped or handed in by mistake is refused with its place and a remedy, before anything is stored. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import type { Transaction } from '../../src/components/postgres/index.ts'
import { job } from '../../src/jobs/index.ts'
import { testJobs } from './support.ts'

const options = { timeout: 60_000 }
const data = z.number()
const Work = job('work', data)
const code = 'SLUICE_INVALID_ARGUMENT'

test('options of job() that nobody knows are refused, with the nearest name', () => {
  for (const [given, message, hint] of [
    [{ attemps: 3 }, 'job "a": there is no option "attemps"', 'Did you mean "attempts"?'],
    [{ backoff: { bas: '1s' } }, 'job "a": backoff: there is no option "bas"', 'Did you mean "base"?'],
    [
      { rate: { limit: 1, per: '1s', buy: 'key' } },
      'job "a": rate: there is no option "buy"',
      'Did you mean "by"?',
    ],
    [{ limit: { runing: 1 } }, 'job "a": limit: there is no option "runing"', 'Did you mean "running"?'],
    [
      { limit: { running: 1, by: 'keys' } },
      'job "a": limit.by: expected "queue" or "key", got "keys"',
      undefined,
    ],
  ] as const) {
    assert.throws(() => job('a', data, given as object), { code, message, hint })
  }
  assert.equal(job('a', data, { attempts: undefined, queue: 'b' }).attempts, 10)
})

test('options of handle and of enqueue that nobody knows are refused', options, async () => {
  await using it = await testJobs()
  assert.throws(() => it.jobs.handle(Work, () => {}, { concurency: 3 } as object), {
    code,
    message: 'handle("work"): there is no option "concurency"',
    hint: 'Did you mean "concurrency"?',
  })
  // Nothing was registered.
  it.jobs.handle(job('work', data), () => {})
  await assert.rejects(it.jobs.enqueue(Work, 1, { dealy: '1h' } as object), {
    code,
    message: /job "work": there is no option "dealy"/,
    hint: 'Did you mean "delay"?',
  })
  // Those of the call are not those of an item, which would be stored without them.
  const item = { data: 1, tx: {} }
  await assert.rejects(it.jobs.enqueueMany(Work, [item]), { code, message: /there is no option "tx"/ })
  await assert.rejects(it.jobs.enqueueMany(Work, [{ data: 1 }], { delay: '1h' } as object), {
    code,
    message: /enqueueMany: there is no option "delay"/,
  })
  assert.equal(await stored(it), 0)
})

test('what is no transaction is refused as one, and nothing is stored', options, async () => {
  await using it = await testJobs()
  const foreign = { query: () => Promise.resolve({ rows: [] }) }
  for (const [given, got] of [
    [it.db, 'the database itself'],
    [foreign, 'something else'],
    ['tx', 'something else'],
    [null, 'something else'],
  ] as const) {
    const tx = given as unknown as Transaction
    const refused = {
      code,
      message: new RegExp(`tx: expected a transaction, got ${got}`),
      hint: /db\.transaction\(/,
    }
    await assert.rejects(it.jobs.enqueue(Work, 1, { tx }), refused)
    await assert.rejects(it.jobs.enqueue(Work, 1, { tx, unique: 'u' }), refused)
    await assert.rejects(it.jobs.enqueueMany(Work, [{ data: 1 }], { tx }), refused)
  }
  assert.equal(await stored(it), 0)
  await it.db.transaction(async (tx) => {
    await it.jobs.enqueue(Work, 1, { tx })
    await tx.transaction((inner) => it.jobs.enqueue(Work, 2, { tx: inner }))
  })
  assert.equal(await stored(it), 2)
})

test('a job that is limited by key is not taken without one', options, async () => {
  await using it = await testJobs()
  for (const given of [
    { rate: { limit: 1, per: '1h', by: 'key' } },
    { limit: { running: 1, by: 'key' } },
  ] as const) {
    const Limited = job('limited', data, given)
    const refused = { code, message: /job "limited": key: expected a key, by which its (rate|limit) counts/ }
    await assert.rejects(it.jobs.enqueue(Limited, 1), refused)
    await assert.rejects(it.jobs.enqueueMany(Limited, [{ data: 1, key: 'k' }, { data: 2 }]), refused)
  }
  assert.equal(await stored(it), 0)
})

async function stored({ db }: Awaited<ReturnType<typeof testJobs>>): Promise<number> {
  const row = await db.queryOne<{ n: number }>('select count(*)::int as n from sluice.task')
  return row!.n
}
