/** Two `jobs()` of one app on one database: what one of them claims is its process's, and so the other's. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgres } from '../../src/components/postgres/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { eventually } from './support.ts'
import { z } from 'zod'

const Count = job('count', z.object({ n: z.number() }))

test('a queue is at work in one component of a process at a time, and the other one says so', async () => {
  await using database = await durableDatabase()
  await using db = await connectComponent(postgres({ dsn: database.dsn }), { name: 'db' })
  const required = { postgres: db.api }
  await using one = await connectComponent(jobs(), { name: 'one', required })
  await using other = await connectComponent(jobs(), { name: 'other', required })
  const done: string[] = []
  const handled = async (count: number) => (done.length >= count ? true : undefined)
  const first = one.api.handle(Count, ({ data }) => done.push(`one ${data.n}`))
  await one.api.enqueue(Count, { n: 0 })
  await eventually(() => handled(1))
  other.api.handle(Count, ({ data }) => done.push(`other ${data.n}`))
  const why = await eventually(() =>
    other.check().then(
      () => undefined,
      (error: Error) => error.cause,
    ),
  )
  assert.match(String(why), /"count" is at work in another component of this process/)
  await other.api.enqueue(Count, { n: 1 })
  await eventually(() => handled(2))
  await first.stop()
  await one.api.enqueue(Count, { n: 2 })
  await eventually(() => handled(3))
  assert.deepEqual(done, ['one 0', 'one 1', 'other 2'])
  await other.check()
})
