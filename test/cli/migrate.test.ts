/** The commands on an app's program, as processes; and the schedules and events of a database. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { inProcess, sluice } from './command.ts'

leakCheck()

test('migrate makes the tables and runs what the app brings, and --check says what is pending', async () => {
  await using database = await durableDatabase()
  const env = { POSTGRES_DSN: database.dsn }
  const before = await sluice(['migrate', 'durable.ts', '--check'], { env })
  assert.equal(before.code, 1, before.err)
  assert.match(before.out, /^tables of sluice: pending: none to version \d+$/m)
  assert.match(before.out, /^the app's migrations: pending: 001_todos$/m)
  const done = await sluice(['migrate', 'durable.ts', '--json'], { env })
  assert.equal(done.code, 0, done.err)
  const report = JSON.parse(done.out) as { tables: { from: number; to: number }; migrations: string[] }
  assert.equal(report.tables.from, 0)
  assert.deepEqual(report.migrations, ['001_todos', '002_done'])
  const after = await sluice(['migrate', 'durable.ts', '--check'], { env })
  assert.equal(after.code, 0, after.out + after.err)
  // The tables alone, by the database's address.
  assert.equal((await inProcess(['migrate', '--check'], env)).code, 0)
})

test('migrate without a program makes the tables of sluice alone, and twice is once', async () => {
  await using database = await durableDatabase()
  const args = ['migrate', '--dsn', database.dsn]
  assert.match((await inProcess(args, {})).out, /^tables of sluice: done: none to version/m)
  assert.match(
    (await inProcess(args, {})).out,
    /^tables of sluice: version \d+, up to date\n.*none pending$/m,
  )
})

test('tables of a newer version are refused, by migrate as by the others', async () => {
  await using database = await durableDatabase()
  const env = { POSTGRES_DSN: database.dsn }
  await inProcess(['migrate'], env)
  const client = new pg.Client({ connectionString: database.dsn })
  await client.connect()
  await client.query(`update sluice.meta set v = '99' where k = 'version'`)
  await client.end()
  for (const args of [['migrate'], ['jobs'], ['events'], ['cron']]) {
    const { code, err } = await inProcess(args, env)
    assert.equal(code, 1)
    assert.match(err, /SLUICE_CONFLICT: postgres: the tables of sluice are of version 99/)
    assert.match(err, /Run the newer version of sluice/)
  }
})

test('a database that is not there is told with what to do', async () => {
  const { code, err } = await inProcess(['jobs', '--dsn', 'postgres://u:canary@127.0.0.1:1/d'], {})
  assert.equal(code, 1)
  assert.match(err, /SLUICE_UNAVAILABLE: .*\nNothing listens at this address/)
  assert.doesNotMatch(err, /canary/)
})
