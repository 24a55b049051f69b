/** What is enqueued in a transaction that is rolled back never runs, however often that happens. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { job } from '../../src/jobs/index.ts'
import { eventually, testJobs } from './support.ts'

const TIMES = 1_000
const AT_ONCE = 10

test(
  'a thousand jobs of transactions that are rolled back leave nothing and run never',
  { timeout: 120_000 },
  async () => {
    await using it = await testJobs()
    const Work = job('work', z.object({ n: z.number() }))
    const seen: number[] = []
    it.jobs.handle(Work, ({ data }) => void seen.push(data.n))
    const undo = new Error('rolled back on purpose')
    let next = 0
    const caller = async (): Promise<void> => {
      while (next < TIMES) {
        const n = next++
        const work = it.db.transaction(async (tx) => {
          // By the call, by many, and by key: each has a statement of its own.
          if (n % 3 === 0) await it.jobs.enqueue(Work, { n }, { tx })
          else if (n % 3 === 1) await it.jobs.enqueueMany(Work, [{ data: { n } }, { data: { n } }], { tx })
          else await it.jobs.enqueue(Work, { n }, { tx, key: 'k', unique: `u${n}` })
          throw undo
        })
        await assert.rejects(work, (error) => error === undo)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, caller))
    // One that was committed after all of them has run: whatever was ready before it would have begun.
    await it.jobs.enqueue(Work, { n: -1 })
    await eventually(() => Promise.resolve(seen.length > 0 ? true : undefined))
    await eventually(async () =>
      (await it.jobs.stats()).every(({ running }) => running === 0) ? true : undefined,
    )
    assert.deepEqual(seen, [-1])
    const left = await it.db.query(
      'select (select count(*)::int from sluice.task) as tasks, (select count(*)::int from sluice.once) as names',
    )
    assert.deepEqual(left, [{ tasks: 0, names: 0 }])
  },
)
