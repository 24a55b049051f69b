/** A database that is far away: what a turn costs in round trips must not grow with the number of schedules. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { databaseProxy } from '../support/database-proxy.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { eventually } from '../support/eventually.ts'
import { openNode } from './cluster-support.ts'

const options = { timeout: 240_000 }
const SCHEDULES = 30

test(
  'thirty schedules that are due at once are decided on, however long a round trip takes',
  options,
  async () => {
    await using own = await durableDatabase()
    await using near = await openNode(own.dsn, () => {})
    await using faulty = await databaseProxy(own.dsn)
    const { proxy } = faulty
    const names = Array.from({ length: SCHEDULES }, (_, i) => `schedule_${i}`)
    await using far = await openNode(
      faulty.dsn,
      (api) => {
        for (const name of names) api.schedule(name, '@yearly', () => {}, { missed: 'once' })
      },
      { pollInterval: '250ms' },
    )
    // Answered behind the registration.
    const { id } = await far.api.runNow('schedule_0')
    await eventually(() =>
      near.db.queryOne('select 1 as one from sluice.cron_run where id = $1 and finished is not null', [id]),
    )
    // Three statements for each schedule, one after another, would take seven seconds; a turn has three.
    proxy.latency('40ms')
    await near.db.execute(`update sluice.cron set next_at = clock_timestamp() - interval '1 hour'`)
    await eventually(() =>
      near.db.queryOne('select 1 as one from sluice.cron having every(next_at > clock_timestamp())'),
    )
    const slots = await near.db.query('select distinct name from sluice.cron_run where manual is null')
    assert.equal(slots.length, SCHEDULES)
    proxy.heal()
  },
)
