/** Events that wait for their time, and cannot be published when it has come. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { event } from '../../src/events/index.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())

test('an event that is due is published however often that failed, and is never dead', async () => {
  await using here = await place()
  let refusals = 3
  const between = (db: Postgres): Postgres => {
    const transaction = (...args: Parameters<Postgres['transaction']>): unknown => {
      if (args[1]?.label !== 'sluice.publish.later' || refusals === 0) return db.transaction(...args)
      refusals--
      return Promise.reject(new Error('permission denied'))
    }
    return new Proxy(db, {
      get(target, name) {
        if (name === 'transaction') return transaction
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }
  const peer = await here.peer({ pollInterval: 100 }, { between })
  const seen = new Seen<number>()
  await peer.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n)).ready()
  await peer.db.transaction(async (tx) => {
    await peer.events.publish(Created, { n: 1 }, { delay: 1, tx })
    // As if all but one of its attempts had failed before.
    await tx.execute('update sluice.task set max_attempt = 2')
  })
  await seen.atLeast(1)
  assert.equal(refusals, 0)
  assert.deepEqual(await peer.db.query('select id from sluice.dead'), [])
})

test('an event that cannot be read holds up none of those that are due with it', async () => {
  await using here = await place()
  const peer = await here.peer({ pollInterval: 100 })
  const seen = new Seen<number>()
  await peer.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n)).ready()
  await peer.db.transaction(async (tx) => {
    for (const n of [1, 2, 3]) await peer.events.publish(Created, { n }, { delay: '100ms', tx })
    await tx.execute(`update sluice.task set head = '{' where body = '{"n":2}'`)
  })
  await seen.atLeast(2)
  assert.deepEqual(seen.all, [1, 3])
  const left = await until(
    () => peer.db.query<{ body: string }>('select body from sluice.task'),
    (rows) => rows.length === 1,
  )
  assert.deepEqual(left, [{ body: '{"n":2}' }])
})
