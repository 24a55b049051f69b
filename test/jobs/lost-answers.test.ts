/** The answer to an enqueue is lost after the commit: the caller hears what may be done about it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { job, jobs, type Jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { databaseProxy } from '../support/database-proxy.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { eventually } from './support.ts'

const Work = job('work', z.number())

for (const [what, enqueue, isUnique] of [
  ['a job', (api: Jobs) => api.enqueue(Work, 1), false],
  ['many jobs', (api: Jobs) => api.enqueueMany(Work, [{ data: 1 }, { data: 2 }]), false],
  ['a unique job', (api: Jobs) => api.enqueue(Work, 1, { unique: 'u' }), true],
] as const) {
  test(
    `the lost answer to ${what} ${isUnique ? 'may be asked for again' : 'is not to be asked for again blindly'}`,
    { timeout: 60_000 },
    async () => {
      await using own = await durableDatabase()
      await using faulty = await databaseProxy(own.dsn)
      const { proxy } = faulty
      await using db = await connectComponent(postgres({ dsn: faulty.dsn }), { name: 'db' })
      await using open = await connectComponent(jobs({ notify: false }), { required: { postgres: db.api } })
      await using direct = await connectComponent(postgres({ dsn: own.dsn }), { name: 'direct' })
      const { id } = await open.api.enqueue(Work, 0)
      proxy.drop('down')
      const lost = enqueue(open.api).then(
        () => undefined,
        (error: unknown) => error,
      )
      const stored = await eventually(async () => {
        const rows = await direct.api.query<{ id: string }>('select id from sluice.task where id > $1', [id])
        return rows.length > 0 ? rows : undefined
      })
      proxy.reset()
      proxy.heal()
      const error = (await lost) as { code: string; retryable: boolean; hint: string }
      assert.deepEqual(
        { code: error.code, retryable: error.retryable },
        { code: 'SLUICE_OUTCOME_UNKNOWN', retryable: isUnique },
      )
      assert.match(error.hint, /unique name/)
      if (!isUnique) return
      const again = await eventually(async () => {
        try {
          return await open.api.enqueue(Work, 1, { unique: 'u' })
        } catch {
          return undefined
        }
      })
      assert.deepEqual(again, { id: stored[0]?.id, created: false })
    },
  )
}
