/** The cursor of a topic on which nothing follows. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { event } from '../../src/events/index.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())

test('a cursor whose write failed is written though nothing follows, and nothing comes twice', async () => {
  await using here = await place()
  let refused = 0
  const between = (db: Postgres): Postgres => {
    const query = (...args: Parameters<Postgres['query']>): unknown => {
      if (args[2]?.label !== 'sluice.cursor.move' || refused > 0) return db.query(...args)
      refused++
      return Promise.reject(new Error('the connection was lost'))
    }
    return new Proxy(db, {
      get(target, name) {
        const value: unknown = name === 'query' ? query : Reflect.get(target, name)
        return typeof value === 'function' && name !== 'query' ? value.bind(target) : value
      },
    })
  }
  const peer = await here.peer({}, { between })
  const seen = new Seen<number>()
  await peer.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n)).ready()
  await peer.events.publish(Created, { n: 1 })
  await seen.atLeast(1)
  await until(
    () => peer.events.lag(),
    ([lag]) => lag?.events === 0,
  )
  assert.equal(refused, 1)
  assert.deepEqual(seen.all, [1])
})
