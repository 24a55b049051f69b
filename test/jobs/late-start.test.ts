/** A handler is registered while the database is away: it begins when that is back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { SluiceError } from '../../src/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { eventually } from './support.ts'

const Work = job('work', z.number())

test(
  'a handler whose start fails begins when the database is back, and health says so meanwhile',
  { timeout: 60_000 },
  async () => {
    await using own = await durableDatabase()
    await using db = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
    let failures = 0
    let isAway = true
    const between = new Proxy(db.api, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name)
        if (name !== 'queryOne') return typeof value === 'function' ? (value.bind(target) as unknown) : value
        return (...args: Parameters<Postgres['queryOne']>) => {
          if (!isAway || !args[0].includes('from sluice.queue where name')) return target.queryOne(...args)
          failures++
          return Promise.reject(new SluiceError('SLUICE_UNAVAILABLE', 'away', { retryable: true }))
        }
      },
    })
    await using open = await connectComponent(jobs(), { required: { postgres: between } })
    const ran = Promise.withResolvers<number>()
    open.api.handle(Work, ({ data }) => ran.resolve(data))
    await eventually(() => Promise.resolve(failures >= 2 ? true : undefined))
    await assert.rejects(open.check(), { code: 'SLUICE_UNAVAILABLE', message: /"work" cannot be run yet/ })
    isAway = false
    await open.api.enqueue(Work, 7)
    assert.equal(await ran.promise, 7)
    await eventually(() =>
      open.check().then(
        () => true,
        () => undefined,
      ),
    )
  },
)
