/** The answer to a claim is lost: what it took is this worker's, who does not know of it, and is done all the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { event, events, type Events } from '../../src/events/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())

/** Of the claims that take something, the first is not heard of. */
class Deaf {
  lost = 0
  /** Looks after what was taken so. */
  readonly drops = new Seen<true>()

  between(db: Postgres): Postgres {
    const ask = async (...args: Parameters<Postgres['queryOne']>): Promise<unknown> => {
      const row = (await db.queryOne(...args)) as { readonly taken?: unknown } | undefined
      if (args[2]?.label !== 'sluice.claim' || typeof row?.taken !== 'string' || this.lost > 0) return row
      this.lost++
      throw new Error('the connection was lost')
    }
    const update = async (...args: Parameters<Postgres['update']>): Promise<number> => {
      const count = await db.update(...args)
      if (args[2]?.label === 'sluice.drop') this.drops.add(true)
      return count
    }
    return new Proxy(db, {
      get(target, name) {
        if (name === 'queryOne') return ask
        if (name === 'update') return update
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }
}

const kinds: Record<string, (events: Events) => Promise<unknown>> = {
  'an event that waited for its time': (events) => events.publish(Created, { n: 4 }, { delay: 1 }),
  'a delivery that is tried again': (events) => events.publish(Created, { n: 1 }),
}

for (const [what, publish] of Object.entries(kinds)) {
  test(`${what} comes though the answer to its claim was lost`, async () => {
    await using here = await place()
    const deaf = new Deaf()
    const peer = await here.peer({}, { between: (db) => deaf.between(db) })
    const [tried, done] = [new Seen<number>(), new Seen<number>()]
    await peer.events
      .subscribe(
        Created,
        'reader',
        ({ data, attempt }) => {
          tried.add(attempt)
          if (data.n + attempt < 5) throw new Error('not yet')
          done.add(data.n)
        },
        { backoff: { base: 1, max: 5 }, attempts: 4 },
      )
      .ready()
    await publish(peer.events)
    await done.atLeast(1)
    assert.equal(deaf.lost, 1)
    // What was never run is no attempt.
    assert.deepEqual(tried.all, done.all[0] === 1 ? [1, 2, 3, 4] : [1])
    await until(
      () => peer.db.query('select id from sluice.task'),
      (rows) => rows.length === 0,
    )
  })
}

test('events that one of two components of a process publishes late are not given back by the other', async () => {
  await using here = await place()
  await using database = await connectComponent(postgres({ dsn: here.dsn, maxOpenConns: 8 }))
  const deaf = new Deaf()
  const publishing = new Seen<true>()
  const go = Promise.withResolvers<void>()
  const transaction = async (...args: Parameters<Postgres['transaction']>): Promise<unknown> => {
    if (args[1]?.label === 'sluice.publish.later') {
      publishing.add(true)
      await go.promise
    }
    return database.api.transaction(...args)
  }
  const db = new Proxy(deaf.between(database.api), {
    get: (target, name) => (name === 'transaction' ? transaction : Reflect.get(target, name)) as unknown,
  })
  const required = { postgres: db }
  await using one = await connectComponent(events(), { name: 'one', required })
  await using other = await connectComponent(events(), { name: 'other', required })
  const done = new Seen<number>()
  await one.api.subscribe(Created, 'reader', ({ data }) => done.add(data.n)).ready()
  await other.api.publishMany(
    Created,
    [1, 2].map((n) => ({ data: { n }, delay: 1 })),
  )
  await publishing.atLeast(2)
  // Whichever of them lost the answer looks after it once more while both are under way.
  await deaf.drops.atLeast(deaf.drops.all.length + 1)
  assert.equal(deaf.lost, 1)
  const [free] = await database.api.query(
    'select count(*)::int as count from sluice.task where owner is null',
  )
  assert.deepEqual(free, { count: 0 })
  go.resolve()
  await done.atLeast(2)
  assert.equal(publishing.all.length, 2)
})

test('a subscription is at work in one component of a process at a time', async () => {
  await using here = await place()
  await using database = await connectComponent(postgres({ dsn: here.dsn, maxOpenConns: 8 }))
  const required = { postgres: database.api }
  await using one = await connectComponent(events(), { name: 'one', required })
  await using other = await connectComponent(events(), { name: 'other', required })
  const seen = new Seen<string>()
  const first = one.api.subscribe(Created, 'reader', ({ data }) => seen.add(`one ${data.n}`))
  await first.ready()
  const second = other.api.subscribe(Created, 'reader', ({ data }) => seen.add(`other ${data.n}`))
  await assert.rejects(second.ready(), {
    code: 'SLUICE_CONFLICT',
    message: /another component of this process/,
  })
  await other.api.publish(Created, { n: 1 })
  await seen.atLeast(1)
  await second.stop()
  await first.stop()
  await other.api.subscribe(Created, 'reader', ({ data }) => seen.add(`other ${data.n}`)).ready()
  await one.api.publish(Created, { n: 2 })
  await seen.atLeast(2)
  assert.deepEqual(seen.all, ['one 1', 'other 2'])
})
