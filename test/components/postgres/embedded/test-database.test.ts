import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import {
  createTestDatabase,
  openTestServer,
} from '../../../../src/components/postgres/embedded/test-database.ts'
import type { EmbeddedConnection } from '../../../../src/components/postgres/embedded/index.ts'
import { query } from './support/harness.ts'

const key = `${process.pid}`

async function migrate(connection: EmbeddedConnection): Promise<void> {
  await query(connection, 'create table todos (id int primary key)')
}

test('two test databases at once are apart, and gone when disposed', async () => {
  await using server = await openTestServer()
  let name: string
  {
    await using first = await server.createDatabase()
    await using second = await server.createDatabase()
    name = first.connection.database
    await query(first.connection, 'create table only_here (id int)')
    await assert.rejects(query(second.connection, 'select from only_here'), { code: '42P01' })
    await assert.rejects(query(first.connection, 'select from todos'), { code: '42P01' })
  }
  await using other = await server.createDatabase()
  assert.deepEqual(await query(other.connection, `select from pg_database where datname = '${name}'`), [])
})

test('a template is set up once and copied for each database', async () => {
  await using server = await openTestServer()
  let setups = 0
  const template = {
    key: `once-${key}`,
    setup: (connection: EmbeddedConnection) => {
      setups++
      return migrate(connection)
    },
  }
  const databases = await Promise.all([1, 2, 3].map(() => server.createDatabase({ template })))
  for (const database of databases) {
    await query(database.connection, 'insert into todos values (1)')
    await database.drop()
  }
  assert.equal(setups, 1)
})

test('a template whose setup fails is not kept, and the error comes as it is', async () => {
  await using server = await openTestServer()
  const failure = new Error('bad migration')
  const broken = { key: `broken-${key}`, setup: () => Promise.reject(failure) }
  await assert.rejects(server.createDatabase({ template: broken }), failure)
  await using database = await server.createDatabase({ template: { ...broken, setup: migrate } })
  assert.deepEqual(await query(database.connection, 'select from todos'), [])
})

test('a database is dropped under an open connection, and its address works as a DSN', async () => {
  const database = await createTestDatabase()
  const client = new pg.Client({ connectionString: database.dsn })
  const lost = new Promise((resolve) => client.on('error', resolve))
  await client.connect()
  const { rows } = await client.query<{ name: string }>('select current_database() as name')
  assert.equal(rows[0]?.name, database.connection.database)
  await Promise.all([database.drop(), database.drop()])
  await lost
  await client.end().catch(() => {})
})

test('a test database costs milliseconds on a server that is held', async () => {
  await using server = await openTestServer()
  const template = { key: `fast-${key}`, setup: migrate }
  await (await server.createDatabase({ template })).drop()
  const times: number[] = []
  for (let index = 0; index < 7; index++) {
    const started = performance.now()
    await using database = await server.createDatabase({ template })
    times.push(performance.now() - started)
    assert.ok(database.dsn.includes(database.connection.database))
  }
  // 12 ms on an idle machine. The quickest of seven, for that is what it costs where the machine does nothing else.
  const quickest = Math.min(...times)
  assert.ok(quickest < 150, `${quickest.toFixed(1)} ms`)
})
