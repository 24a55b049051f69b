/** What a transaction is run again for: the failures of its own database, and nobody else's. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Database, Queryable, Transaction } from '../../../src/components/postgres/index.ts'
import { isSluiceError, type SluiceError } from '../../../src/core/errors.ts'
import { connected, server, skip, unique } from './support.ts'

/** The server ends the connection that this is sent on. */
const endConnection = (db: Queryable): Promise<unknown> =>
  db.query('select pg_terminate_backend(pg_backend_pid())')

const conflict = (db: Pick<Database, 'script'>): Promise<void> =>
  db.script(`do $$ begin raise exception 'changed meanwhile' using errcode = '40001'; end $$`)

/** How often `fn` was run until it went well, or what it failed with had been told. */
async function runsOf(db: Database, fn: (tx: Transaction) => Promise<unknown>): Promise<number> {
  let runs = 0
  const ended = db.transaction((tx) => {
    runs++
    return fn(tx)
  })
  await ended.catch(() => {})
  return runs
}

/** `fn` where it is the first run, and nothing in the others. */
const once =
  (fn: (tx: Transaction) => Promise<unknown>) =>
  async (tx: Transaction): Promise<unknown> =>
    tx.attempt === 1 ? fn(tx) : undefined

async function failureOf(promise: Promise<unknown>): Promise<SluiceError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(isSluiceError(error), String(error))
  return error
}

test('a transaction is not run again because another component is away', { skip }, async () => {
  await using made = await connected()
  await using other = await connected({}, { name: 'other' })
  const lost = await failureOf(endConnection(other.api))
  assert.deepEqual([lost.code, lost.retryable, lost.component], ['SLUICE_UNAVAILABLE', true, 'other'])
  assert.equal(await runsOf(made.api, () => Promise.reject(lost)), 1)
  assert.equal(await runsOf(made.api, () => Promise.reject(new Error('mine', { cause: lost }))), 1)
  assert.equal(await runsOf(made.api, () => conflict(other.api)), 1)
})

test('a transaction is run again for its own database, whoever tells of it', { skip }, async () => {
  await using made = await connected()
  const named = made.api.addDatabase(unique('again'), server.url)
  for (const db of [made.api, named]) {
    assert.equal(await runsOf(db, once(endConnection)), 2)
    assert.equal(await runsOf(db, once(conflict)), 2)
    const wrapped = async (tx: Transaction): Promise<never> => {
      throw new Error('mine', { cause: await failureOf(endConnection(tx)) })
    }
    assert.equal(await runsOf(db, once(wrapped)), 2)
    for (const code of ['40001', '40P01', '55P03']) {
      const ofDriver = Object.assign(new Error('of a client of the program'), { code, severity: 'ERROR' })
      assert.equal(
        await runsOf(
          db,
          once(() => Promise.reject(ofDriver)),
        ),
        2,
        code,
      )
    }
  }
})
