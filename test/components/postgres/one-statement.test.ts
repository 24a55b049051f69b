/** A statement that the server refuses, and goes on: its caller's affair, which closes the database to nobody else. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { postgres, type Postgres, type Queryable } from '../../../src/components/postgres/index.ts'
import { isSluiceError, type ErrorCode, type SluiceError } from '../../../src/core/errors.ts'
import { connectComponent, type OpenComponent } from '../../../src/testing/connect-component.ts'
import { durableDatabase } from '../../support/durable-database.ts'

const database = await durableDatabase()
after(() => database[Symbol.asyncDispose]())

const connect = (): Promise<OpenComponent<Postgres>> =>
  connectComponent(postgres({ dsn: database.dsn }), { name: 'db' })

/** More than the failures in a row that open the breaker. */
const TIMES = 12
const ids = Array.from({ length: 70_000 }, (_, n) => n)
const raise = (state: string) => (db: Queryable) =>
  db.query(`do $$ begin raise exception 'mine' using errcode = '${state}'; end $$`)

const cases: Readonly<Record<string, readonly [(db: Queryable) => PromiseLike<unknown>, ErrorCode]>> = {
  'too few parameters': [(db) => db.query('select $1::int, $2::int', [1]), 'SLUICE_QUERY'],
  'more parameters than can be sent': [
    (db) => db.query(`select 1 where 1 in (${ids.map((n) => `$${n + 1}::int`).join()})`, ids),
    'SLUICE_INVALID_ARGUMENT',
  ],
  'NUL in the text': [(db) => db.query('select 1 as "a\0b"'), 'SLUICE_INVALID_ARGUMENT'],
  'a statement that was cancelled at the server': [
    (db) => db.query('select pg_cancel_backend(pg_backend_pid()), pg_sleep(60)', [], { idempotent: true }),
    'SLUICE_TIMEOUT',
  ],
  'a file that is not there': [(db) => db.query(`select pg_read_file('/no/such/file')`), 'SLUICE_QUERY'],
  'another server that is away': [raise('08001'), 'SLUICE_UNAVAILABLE'],
  'no memory for it': [raise('53200'), 'SLUICE_OVERLOADED'],
  'a limit of the configuration': [raise('53400'), 'SLUICE_QUERY'],
  'a limit of the program': [raise('54001'), 'SLUICE_QUERY'],
}

async function failureOf(promise: PromiseLike<unknown>): Promise<SluiceError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(isSluiceError(error), String(error))
  return error
}

for (const [name, [send, code]] of Object.entries(cases)) {
  test(`${name}: refused once, and everybody else is served`, async () => {
    await using made = await connect()
    const db = made.api
    for (let n = 0; n < TIMES; n++) {
      const failure = await failureOf(send(db))
      assert.deepEqual([failure.code, failure.retryable], [code, false], failure.message)
    }
    assert.deepEqual(await db.query('select 1 as n'), [{ n: 1 }])
    let runs = 0
    const failure = await failureOf(
      db.transaction((tx) => {
        runs++
        return Promise.resolve(send(tx))
      }),
    )
    assert.deepEqual([failure.code, runs], [code, 1], failure.message)
  })
}

test('what has more parameters than can be sent says how to pass a list, alone and in a batch', async () => {
  await using made = await connect()
  const db = made.api
  const many = { sql: `select ${ids.map((n) => `$${n + 1}::int`).join()}`, params: ids }
  const { hint } = await failureOf(db.query(many.sql, many.params))
  assert.match(hint ?? '', /= any\(\$1\)/)
  const { values, errors } = await db.batch(['select 1 as n', many]).waitAll()
  assert.deepEqual(values, [[{ n: 1 }], undefined])
  assert.match(String(errors[1]), /at most 65535, got 70000/)
  const [row] = await db.query<{ n: number }>('select count(*)::int as n from unnest($1::int[])', [ids])
  assert.equal(row?.n, 70_000)
  await assert.rejects(
    db.transaction((tx) => tx.script('select 1; select 2 as "a\0b"')),
    /got NUL at/,
  )
})
