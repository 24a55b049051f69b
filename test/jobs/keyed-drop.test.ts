/** Jobs with keys where a claim of what others offer has failed: what it may have taken is given back, and nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { SluiceError } from '../../src/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'

const Work = job('work', z.number())

test(
  'nothing is given back that was claimed in the same moment, so that each job runs once',
  { timeout: 120_000 },
  async () => {
    await using own = await durableDatabase()
    await using db = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
    const watcher = db.api
    let drops = 0
    /** Owned by the worker, and not known to who gives back. */
    const wronged: string[] = []
    const between = new Proxy(watcher, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name)
        if (name === 'query')
          return (...args: Parameters<Postgres['query']>) =>
            args[2]?.label === 'sluice.keyed.take'
              ? Promise.reject(new SluiceError('SLUICE_UNAVAILABLE', 'the answer was lost'))
              : target.query(...args)
        if (name === 'update')
          return async (...args: Parameters<Postgres['update']>) => {
            if (args[2]?.label === 'sluice.drop') {
              drops++
              const rows = await target.query<{ id: string }>(
                `select id from sluice.task where queue = $1 and owner = $2 and key is not null and id <> all($3::bigint[])`,
                [...(args[1] ?? [])],
              )
              wronged.push(...rows.map(({ id }) => id))
            }
            return target.update(...args)
          }
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    await using open = await connectComponent(jobs(), { required: { postgres: between } })
    const runs: number[] = []
    let wanted = 0
    let all = Promise.withResolvers<void>()
    open.api.handle(Work, ({ data }) => {
      runs.push(data)
      if (runs.length >= wanted) all.resolve()
    })
    // One behind the other, so that each claim brings some, until there were drops between.
    while (drops < 4) {
      all = Promise.withResolvers()
      const from = wanted
      wanted += 5
      await open.api.enqueueMany(
        Work,
        Array.from({ length: 5 }, (_, n) => ({ data: from + n, key: `key ${n}` })),
      )
      await all.promise
    }
    assert.deepEqual(wronged, [])
    assert.equal(new Set(runs).size, runs.length, 'none ran twice')
  },
)
