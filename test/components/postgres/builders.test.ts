/** Transactions that a query builder begins on the database: they have the deadline of every other transaction. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sql as drizzleSql } from 'drizzle-orm'
import { sql } from 'kysely'
import type { Postgres } from '../../../src/components/postgres/index.ts'
import { hasCode } from '../../../src/core/errors.ts'
import type { OpenComponent } from '../../../src/testing/connect-component.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { connected, skip } from './support.ts'

const LIMIT_MS = 500

/** Drizzle wraps the errors of statements. */
const isTimeout = (error: unknown): boolean =>
  hasCode(error, 'SLUICE_TIMEOUT') || (error instanceof Error && isTimeout(error.cause))

const never = (): Promise<never> => new Promise(() => {})

/** Of two connections leases may have one: what keeps it keeps all others out. */
async function limited(): Promise<{ readonly made: OpenComponent<Postgres>; readonly clock: ManualClock }> {
  const clock = new ManualClock()
  const made = await connected({ transactionTimeout: LIMIT_MS, maxOpenConns: 2 }, { clock })
  return { made, clock }
}

function leasedOf(made: OpenComponent<Postgres>): unknown {
  return (made.component.inspect()['connections'] as Record<string, number>)['leased']
}

test('a Kysely transaction that waits for ever loses its connection at the deadline', { skip }, async () => {
  const { made, clock } = await limited()
  await using _made = made
  const kysely = made.api.kysely<Record<string, never>>()
  const began = Promise.withResolvers<void>()
  const late = Promise.withResolvers<void>()
  const lateCall = Promise.withResolvers<unknown>()
  const ended = kysely.transaction().execute(async (trx) => {
    await sql`select 1`.execute(trx)
    began.resolve()
    await late.promise
    await sql`select 2`.execute(trx).then(lateCall.reject, lateCall.resolve)
  })
  const hanging = [ended, kysely.transaction().execute(never)]
  for (const each of hanging) each.catch(() => {})
  await began.promise
  assert.equal(leasedOf(made), 1)
  await clock.advance(LIMIT_MS)
  assert.equal(leasedOf(made), 0)
  late.resolve()
  assert.ok(isTimeout(await lateCall.promise))
  // The function made nothing of the error; the transaction did not commit all the same.
  await assert.rejects(ended, isTimeout)
  assert.equal(await made.api.transaction(() => Promise.resolve('next')), 'next')
})

test('a statement that runs at the deadline of a Kysely transaction is cut off', { skip }, async () => {
  const { made, clock } = await limited()
  await using _made = made
  const sent = Promise.withResolvers<void>()
  const ended = made.api
    .kysely<Record<string, never>>()
    .transaction()
    .execute(async (trx) => {
      await sql`select 1`.execute(trx)
      const running = sql`select pg_sleep(600)`.execute(trx)
      sent.resolve()
      await running
    })
  const rejected = assert.rejects(ended, isTimeout)
  await sent.promise
  await clock.advance(LIMIT_MS)
  await rejected
  assert.equal(leasedOf(made), 0)
})

test('a Drizzle transaction that waits for ever loses its connection at the deadline', { skip }, async () => {
  const { made, clock } = await limited()
  await using _made = made
  const began = Promise.withResolvers<void>()
  const late = Promise.withResolvers<void>()
  const ended = made.api.drizzle().transaction(async (tx) => {
    await tx.execute(drizzleSql`select 1`)
    began.resolve()
    await late.promise
    await tx.execute(drizzleSql`select 2`)
  })
  const rejected = assert.rejects(ended, isTimeout)
  await began.promise
  assert.equal(leasedOf(made), 1)
  await clock.advance(LIMIT_MS)
  assert.equal(leasedOf(made), 0)
  late.resolve()
  await rejected
  assert.equal(await made.api.transaction(() => Promise.resolve('next')), 'next')
})
