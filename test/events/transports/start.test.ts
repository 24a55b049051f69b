/** A process that starts while events wait for it on the broker. */
import { test } from 'node:test'
import pg from 'pg'
import { event } from '../../../src/events/index.ts'
import { anything, Seen, until } from '../support.ts'
import { unique } from './conformance/support.ts'
import { missingFor, openPlace } from './places.ts'

const skip = await missingFor('log+kafka')

interface Held extends AsyncDisposable {
  /** Events of a topic in the log. */
  stored(topic: string): Promise<number>
  letGo(): Promise<void>
}

/** Keeps a subscription from being placed until it is let go: as slow as a database may be. */
async function holdBack(dsn: string, subscription: string): Promise<Held> {
  const client = new pg.Client({ connectionString: dsn })
  await client.connect()
  await client.query('begin')
  await client.query(
    `insert into sluice.sub (name, patterns, shards, queue) select $1, '{}', 1, min(id) from sluice.queue`,
    [subscription],
  )
  return {
    async stored(topic) {
      const { rows } = await client.query<{ count: number }>(
        `select count(*)::int as count from sluice.event where topic = (select id from sluice.topic where name = $1)`,
        [topic],
      )
      return rows[0]!.count
    },
    letGo: async () => void (await client.query('rollback')),
    [Symbol.asyncDispose]: () => client.end(),
  }
}

test(
  'what waits on Kafka for one subscription is not passed over while another one is placed',
  { skip, timeout: 90_000 },
  async () => {
    await using place = await openPlace('log+kafka')
    await using writer = await place.join('writer')
    const First = event(unique('first'), anything<number>())
    const Second = event(unique('second'), anything<number>())
    // In turns and of one key, so that the bridge has seen all of both, but one, once it has stored all of the first.
    for (let n = 0; n < 10; n++) {
      await writer.events.publish(Second, n, { key: 'k' })
      await writer.events.publish(First, n, { key: 'k' })
    }
    {
      await using _tables = await place.join('reader')
    }
    await using held = await holdBack(await place.dsn('reader'), 'first')
    const [first, second] = [new Seen<number>(), new Seen<number>()]
    const joining = place.join('reader', {
      before(events) {
        events.subscribe(First, 'first', ({ data }) => first.add(data), { from: 'beginning' })
        events.subscribe(Second, 'second', ({ data }) => second.add(data), { from: 'beginning' })
      },
    })
    await until(
      () => held.stored(First.topic),
      (count) => count === 10,
    )
    await held.letGo()
    await joining
    await Promise.all([first.atLeast(10), second.atLeast(10)])
  },
)
