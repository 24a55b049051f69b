import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { openNode } from '../cron/cluster-support.ts'
import { until } from '../events/support.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { inProcess } from './command.ts'

leakCheck()

test('a schedule is listed, run by hand once a key, paused and resumed', async () => {
  await using database = await durableDatabase()
  const ran = Promise.withResolvers<string>()
  await using node = await openNode(database.dsn, (api) =>
    api.schedule('report', '0 0 1 1 *', ({ name }) => ran.resolve(name)),
  )
  await until(
    () => node.api.schedules(),
    (schedules) => schedules.length > 0,
  )
  const call = (...args: readonly string[]) => inProcess(['cron', ...args], { POSTGRES_DSN: database.dsn })
  const list = await call()
  assert.match(list.out, /^report +0 0 1 1 \* +UTC +in \d+d \(.*-01-01 00:00:00Z\) +- +- +0$/m, list.err)
  assert.match((await call('run', 'report', '--key', 'a')).out, /^run \d+ of report waits/)
  assert.equal(await ran.promise, 'report')
  assert.match((await call('run', 'report', '--key', 'a')).out, /^run \d+ of this key was there/)
  const { runs } = JSON.parse((await call('history', 'report', '--json')).out) as {
    runs: { key: string; error: null }[]
  }
  assert.deepEqual(
    runs.map(({ key, error }) => [key, error]),
    [['a', null]],
  )
  assert.equal((await call('pause', 'report')).code, 0)
  assert.equal((await node.api.schedules())[0]?.paused, true)
  assert.match((await call('list')).out, /^report .* paused /m)
  assert.equal((await call('resume', 'report')).code, 0)
  assert.equal((await node.api.schedules())[0]?.paused, false)
  const unknown = await call('run', 'reprot')
  assert.equal(unknown.code, 1)
  assert.match(unknown.err, /reprot/)
})

test('a schedule is given another expression, and removed after a yes', async () => {
  await using database = await durableDatabase()
  await using node = await openNode(database.dsn, (api) =>
    api.schedule('report', '0 0 1 1 *', () => {}, { timezone: 'Europe/Berlin', missed: 'once' }),
  )
  await until(
    () => node.api.schedules(),
    (schedules) => schedules.length > 0,
  )
  const call = (...args: readonly string[]) => inProcess(['cron', ...args], { POSTGRES_DSN: database.dsn })
  const changed = await call('reschedule', 'report', '*/5 2 * * *', '--overlap', 'queue')
  assert.match(changed.out, /^report runs in .* \(.*Z\), by \*\/5 2 \* \* \*$/m, changed.err)
  const [status] = await node.api.schedules()
  assert.deepEqual(
    [status?.expression, status?.timezone, status?.missed, status?.overlap],
    ['*/5 2 * * *', 'Europe/Berlin', 'once', 'queue'],
  )
  const wrong = await call('reschedule', 'report', '61 * * * *')
  assert.equal(wrong.code, 1)
  assert.match(wrong.err, /schedule "report"/)
  assert.equal((await call('reschedule', 'reprot', '@daily')).code, 1)
  assert.equal((await call('reschedule', 'report')).code, 64)
  const asked = await call('remove', 'report')
  assert.equal(asked.code, 64)
  assert.match(asked.err, /confirm with --yes/)
  assert.match((await call('remove', 'report', '--yes')).out, /^report is removed$/m)
  assert.deepEqual(await node.api.schedules(), [])
  assert.equal((await call('remove', 'report', '--yes')).code, 1)
})
