/** What a transaction sets on its connection, and the next caller must not find. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import {
  postgres,
  type Database,
  type Postgres,
  type Transaction,
} from '../../../src/components/postgres/index.ts'
import { hasCode } from '../../../src/core/errors.ts'
import { connectComponent, type OpenComponent } from '../../../src/testing/connect-component.ts'
import { durableDatabase } from '../../support/durable-database.ts'

const database = await durableDatabase()
after(() => database[Symbol.asyncDispose]())

/** One connection: the next caller has the same, and finds by its process id that it was not closed instead. */
const connect = (): Promise<OpenComponent<Postgres>> =>
  connectComponent(postgres({ dsn: database.dsn, maxOpenConns: 1 }), { name: 'db' })

interface Found {
  readonly pid: number
  readonly role: string
  readonly tenant: string | null
  readonly path: string
  readonly zone: string
  readonly locks: number
}

/** What the next caller finds. */
async function found(db: Pick<Database, 'transaction'>): Promise<Found> {
  const [row] = await db.transaction((tx) =>
    Promise.resolve(
      tx.query<Found>(`select pg_backend_pid() as pid, current_user::text as role,
        nullif(current_setting('app.tenant', true), '') as tenant, current_setting('search_path') as path,
        current_setting('timezone') as zone,
        (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks`),
    ),
  )
  assert.ok(row)
  return row
}

test('a setting without LOCAL is refused in a transaction, with what ends with it', async () => {
  await using made = await connect()
  const db = made.api
  const before = await found(db)
  const refused = (error: unknown): boolean => {
    assert.match((error as { hint?: string }).hint ?? '', /SET LOCAL/)
    return hasCode(error, 'SLUICE_INVALID_ARGUMENT')
  }
  for (const text of [
    'set role pg_monitor',
    "set app.tenant = 'acme'",
    'reset role',
    "select set_config('app.tenant', 'acme', false)",
  ]) {
    await assert.rejects(
      db.transaction((tx) => Promise.resolve(tx.query(text))),
      refused,
    )
    const builder = db.kysely<object>().transaction()
    await assert.rejects(
      builder.execute((trx) => sql.raw(text).execute(trx)),
      refused,
    )
  }
  await db.transaction(async (tx) => {
    await tx.query("set local app.tenant = 'acme'")
    await tx.query("select set_config('timezone', $1, true)", ['Asia/Tokyo'])
    const [row] = await tx.query("select current_setting('app.tenant') as tenant")
    assert.deepEqual(row, { tenant: 'acme' })
  })
  assert.deepEqual(await found(db), before)
})

const leaving: Readonly<Record<string, (tx: Transaction) => PromiseLike<unknown>>> = {
  'a script': (tx) =>
    tx.script(
      "set role pg_monitor; set app.tenant = 'acme'; set search_path to nowhere; set timezone to 'Asia/Tokyo'",
    ),
  'a block of code': (tx) => tx.query("do $$ begin set app.tenant = 'acme'; set role pg_monitor; end $$"),
  'a setting by parameters': (tx) => tx.query('select set_config($1, $2, $3)', ['app.tenant', 'acme', false]),
  'a session lock': (tx) => tx.query('select pg_advisory_lock(4711)'),
  'a setting of a function that the server tells of': (tx) => tx.query('select sluice_test_zone()'),
}

for (const [name, leave] of Object.entries(leaving)) {
  test(`${name} in a transaction leaves nothing to the next caller, committed or not`, async () => {
    await using made = await connect()
    const db = made.api
    await db.script(
      `create or replace function sluice_test_zone() returns text language sql
         as $$ select set_config('timezone', 'Asia/Tokyo', false) $$`,
    )
    const before = await found(db)
    await db.transaction((tx) => Promise.resolve(leave(tx)))
    assert.deepEqual(await found(db), before)
    await assert.rejects(
      db.transaction(async (tx) => {
        await leave(tx)
        throw new Error('undone')
      }),
      { message: 'undone' },
    )
    assert.deepEqual(await found(db), before)
  })
}

test('a temporary table of a transaction is gone with it', async () => {
  await using made = await connect()
  for (let round = 0; round < 2; round++) {
    await made.api.transaction(async (tx) => {
      await tx.execute('create temp table scratch (n int)')
      await tx.insert('insert into scratch values (1)')
    })
  }
})

test('a single statement that changes a setting leaves nothing to the next one', async () => {
  await using made = await connect()
  const db = made.api
  const zone = (): PromiseLike<unknown> => db.query("select current_setting('timezone') as zone")
  await db.script(
    `create or replace function sluice_test_zone() returns text language sql
       as $$ select set_config('timezone', 'Asia/Tokyo', false) $$`,
  )
  const before = await zone()
  await db.query('select sluice_test_zone()')
  assert.deepEqual(await zone(), before)
  await db.query("do $$ begin set timezone to 'Asia/Tokyo'; end $$")
  assert.deepEqual(await zone(), before)
  await assert.rejects(db.query("select set_config('timezone', 'Asia/Tokyo', false)"), (error) =>
    hasCode(error, 'SLUICE_INVALID_ARGUMENT'),
  )
})
