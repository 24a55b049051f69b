/** A named database that does not answer holds up nobody but those who call it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { postgres, type Database } from '../../../src/components/postgres/index.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'
import { durableDatabase } from '../../support/durable-database.ts'

const database = await durableDatabase()
after(() => database[Symbol.asyncDispose]())

/** Takes connections and says nothing. */
async function frozenServer(): Promise<AsyncDisposable & { readonly dsn: string }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    dsn: `postgres://postgres@127.0.0.1:${(server.address() as AddressInfo).port}/frozen`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** More than may be under way at once. */
const CALLS = 1_200

const calls: Readonly<Record<string, (db: Database) => PromiseLike<unknown>>> = {
  transactions: (db) =>
    db.transaction((tx) => Promise.resolve(tx.query('select 1 as n')), { timeout: '20s' }),
  queries: (db) => db.query('select 1 as n', [], { timeout: '20s' }),
}

for (const [name, call] of Object.entries(calls)) {
  test(`${name} of a tenant that is frozen hold up neither the main database nor another tenant`, async () => {
    await using frozen = await frozenServer()
    // The frozen one is waited for until the end of the test.
    const definition = postgres({
      dsn: database.dsn,
      connectTimeout: '60s',
      transactionTimeout: '60s',
      queryTimeout: '60s',
    })
    await using made = await connectComponent(definition, { name: 'db' })
    const db = made.api
    const cold = db.addDatabase('cold', frozen.dsn)
    const healthy = db.addDatabase('healthy', database.dsn)
    const settled: unknown[] = []
    const stuck = Array.from({ length: CALLS }, () =>
      (name === 'queries' ? cold.query('select 1') : cold.transaction(() => Promise.resolve())).then(
        (value) => settled.push(value),
        (error: unknown) => settled.push(error),
      ),
    )
    for (const each of [db, healthy]) assert.deepEqual(await call(each), [{ n: 1 }])
    assert.equal(settled.length, 0)
    await db.removeDatabase('cold')
    await Promise.all(stuck)
    // Whoever comes next is not held up by what the removed one left.
    assert.deepEqual(await call(db.addDatabase('next', database.dsn)), [{ n: 1 }])
  })
}
