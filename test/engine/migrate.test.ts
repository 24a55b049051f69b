/** The engine's tables are made once, whole, and never by an older program over a newer one's. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import { migrateEngine } from '../../src/engine/migrate.ts'
import { SCHEMA_VERSION } from '../../src/engine/schema.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'

const options = { timeout: 60_000 }

test('of two that migrate at once one does it, and the other finds it done', options, async () => {
  await using own = await durableDatabase()
  await using a = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  await using b = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  const answers = await Promise.all([migrateEngine(a.api), migrateEngine(b.api)])
  // Which one came first, and whether the other had to wait, is chance.
  assert.deepEqual(
    answers.map(({ from }) => from).toSorted((a, b) => a - b),
    [0, SCHEMA_VERSION],
  )
  assert.deepEqual(await migrateEngine(a.api), { from: SCHEMA_VERSION, to: SCHEMA_VERSION })
})

test('tables of a newer version are refused, and left as they are', options, async () => {
  await using own = await durableDatabase()
  await using made = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  const { api: db } = made
  await migrateEngine(db)
  await db.execute(`update sluice.meta set v = '999' where k = 'version'`)
  await assert.rejects(migrateEngine(db), {
    code: 'SLUICE_CONFLICT',
    message: /version 999, newer than this program/,
  })
  assert.deepEqual(await db.queryOne(`select v from sluice.meta where k = 'version'`), { v: '999' })
})

test(
  'a process that is killed in the middle leaves nothing, and the next one migrates',
  options,
  async () => {
    await using own = await durableDatabase()
    await using made = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
    const { api: db } = made
    await db.execute('create schema sluice')
    await db
      .transaction(
        async (tx) => {
          // The migration comes as far as this table, and waits.
          await tx.execute('create table sluice.worker (n int)')
          const child = fork(new URL('migrate-program.ts', import.meta.url), [own.dsn])
          try {
            await until(() => waiting(db), 1)
            child.kill('SIGKILL')
            await once(child, 'exit')
          } finally {
            child.kill('SIGKILL')
          }
          throw new Rollback()
        },
        { retries: 0 },
      )
      .catch((error: unknown) => {
        if (!(error instanceof Rollback)) throw error
      })
    // The server ends what the killed one began when it notices; it holds the lock of migrations until then.
    await until(() => waiting(db), 0)
    const { from } = await migrateEngine(db)
    assert.equal(from, 0)
  },
)

class Rollback extends Error {}

async function waiting(db: Postgres): Promise<number> {
  const row = await db.queryOne<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return row!.n
}

async function until(read: () => Promise<number>, value: number): Promise<void> {
  while ((await read()) !== value) await systemClock.sleep(20)
}
