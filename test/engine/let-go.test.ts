import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgres } from '../../src/components/postgres/index.ts'
import { letGoWhenIdle } from '../../src/engine/let-go.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { durableDatabase } from '../support/durable-database.ts'

leakCheck()

test('what a transaction holds is free again when its process says nothing more', async () => {
  await using own = await durableDatabase()
  await using open = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  const db = open.api
  await db.execute('create table held (n int primary key)')
  await db.execute('insert into held values (1)')
  const taken = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const frozen = db.transaction(
    async (tx) => {
      await Promise.all([tx.execute('delete from held'), letGoWhenIdle(tx)])
      taken.resolve()
      await goOn.promise
    },
    { retries: 0 },
  )
  await taken.promise
  // Waits for the lock of the row, which nobody gives up by himself.
  assert.equal(await db.update('update held set n = 2', [], { timeout: '20s' }), 1)
  goOn.resolve()
  await assert.rejects(Promise.resolve(frozen), { name: 'SluiceError' })
  assert.deepEqual(await db.query('select n from held'), [{ n: 2 }])
})
