/** The answer to a claim is lost: what it took is this worker's, who does not know of it, and is done all the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { event, type Events } from '../../src/events/index.ts'
import { anything, place, Seen, skip, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())

/** Of the claims that take something, the first is not heard of. */
class Deaf {
  lost = 0

  between(db: Postgres): Postgres {
    const ask = async (...args: Parameters<Postgres['queryOne']>): Promise<unknown> => {
      const row = (await db.queryOne(...args)) as { readonly taken?: unknown } | undefined
      if (args[2]?.label !== 'sluice.claim' || typeof row?.taken !== 'string' || this.lost > 0) return row
      this.lost++
      throw new Error('the connection was lost')
    }
    return new Proxy(db, {
      get(target, name) {
        const value: unknown = name === 'queryOne' ? ask : Reflect.get(target, name)
        return typeof value === 'function' && name !== 'queryOne' ? value.bind(target) : value
      },
    })
  }
}

const kinds: Record<string, (events: Events) => Promise<unknown>> = {
  'an event that waited for its time': (events) => events.publish(Created, { n: 4 }, { delay: 1 }),
  'a delivery that is tried again': (events) => events.publish(Created, { n: 1 }),
}

for (const [what, publish] of Object.entries(kinds)) {
  test(`${what} comes though the answer to its claim was lost`, { skip }, async () => {
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
