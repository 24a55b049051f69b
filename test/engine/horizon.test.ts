/** Since when the oldest transaction is open, also for a role that may not see others' sessions. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { postgres } from '../../src/components/postgres/index.ts'
import { HorizonWatch } from '../../src/engine/horizon.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { durableDatabase } from '../support/durable-database.ts'

const options = { timeout: 60_000 }
const CALL = { label: 'test', timeout: '5s', idempotent: true } as const
const OPEN = 'select count(*) from pg_class'

test('a role that may not see when others began counts from when it saw them first', options, async () => {
  const role = `horizon_${randomBytes(6).toString('hex')}`
  await using own = await durableDatabase()
  await using admin = await connectComponent(postgres({ dsn: own.dsn }), { name: 'admin' })
  await admin.api.execute(`create role ${role} login nosuperuser`)
  try {
    const url = new URL(own.dsn)
    url.username = role
    await using app = await connectComponent(postgres({ dsn: url.href }), { name: 'reader' })
    const clock = new ManualClock()
    const watch = new HorizonWatch(clock)
    assert.equal((await watch.read(app.api, CALL)).ageMs, 0)
    await admin.api.transaction(
      async (tx) => {
        await tx.query(OPEN)
        assert.equal((await watch.read(app.api, CALL)).ageMs, 0)
        await clock.advance(60_000)
        const { ageMs, pid } = await watch.read(app.api, CALL)
        assert.equal(ageMs, 60_000)
        assert.ok(pid !== null)
        // Who may see when it began is told so.
        const seen = await new HorizonWatch(clock).read(admin.api, CALL)
        assert.equal(seen.pid, pid)
        assert.ok(seen.ageMs > 0 && seen.ageMs < 60_000)
      },
      { isolation: 'repeatable read' },
    )
    assert.equal((await watch.read(app.api, CALL)).ageMs, 0, 'it is over')
  } finally {
    await admin.api.execute(`drop role ${role}`)
  }
})

test('sessions of other databases hold nothing up here', options, async () => {
  await using own = await durableDatabase()
  await using other = await durableDatabase()
  await using here = await connectComponent(postgres({ dsn: own.dsn }), { name: 'here' })
  await using there = await connectComponent(postgres({ dsn: other.dsn }), { name: 'there' })
  await there.api.transaction(
    async (tx) => {
      await tx.query(OPEN)
      const { ageMs } = await new HorizonWatch(new ManualClock()).read(here.api, CALL)
      assert.equal(ageMs, 0)
    },
    { isolation: 'repeatable read' },
  )
})
