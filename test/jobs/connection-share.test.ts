/** Handlers with a transaction, and the connections that there are for them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { silentLogger, type Logger } from '../../src/index.ts'
import { job } from '../../src/jobs/index.ts'
import { eventually, testJobs } from './support.ts'

const [One, Two, Three] = ['one', 'two', 'three'].map((name) => job(name, z.number())) as [
  ReturnType<typeof job<number, number>>,
  ReturnType<typeof job<number, number>>,
  ReturnType<typeof job<number, number>>,
]

test(
  'handlers with transactions that may hold every connection of the pool are told of, once',
  { timeout: 60_000 },
  async () => {
    const told: unknown[] = []
    const log: Logger = {
      ...silentLogger,
      child: () => log,
      warn: (...args: readonly unknown[]) =>
        void (String(args[1]).includes('connections') && told.push(args[0])),
    } as Logger
    // Of four connections.
    await using it = await testJobs({}, { log })
    const { db, jobs, open } = it
    const run = async (which: typeof One, concurrency: number, transaction: boolean): Promise<void> => {
      if (transaction) jobs.handle(which, () => {}, { concurrency, transaction })
      else jobs.handle(which, () => {}, { concurrency })
      await jobs.enqueue(which, 1)
      await eventually(async () =>
        (await db.query('select from sluice.task')).length === 0 ? true : undefined,
      )
    }
    await run(One, 3, true)
    await run(Two, 100, false)
    assert.deepEqual(told, [])
    await run(Three, 1, true)
    assert.deepEqual(told, [{ database: 'db', maxOpenConns: 4, transactions: 4 }])
    await open.check()
  },
)
