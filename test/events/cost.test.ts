/** What a publish costs the database does not depend on who reads: one row, one statement. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PUBLISH } from '../../src/engine/log/publish.ts'
import { event } from '../../src/events/index.ts'
import { anything, place, type Peer } from './support.ts'

const Created = event('todo.created', anything<{ n: number; text: string }>())
const PUBLISHES = 101

interface Cost {
  /** Rows of all tables of sluice that a publish writes. */
  readonly rows: number
  /** Bytes of the write-ahead log that its statement makes, in the middle of many: a page's first change costs more. */
  readonly walBytes: number
}

interface Plan {
  readonly Plan: { readonly 'WAL Bytes': number }
}

async function costOfPublishing({ db, events }: Peer): Promise<Cost> {
  const rows = await db.transaction(async (tx) => {
    const written = async (): Promise<number> => {
      const row = await tx.queryOne<{ n: number }>(`select sum(n_tup_ins + n_tup_upd + n_tup_del)::int as n
        from pg_stat_xact_user_tables where schemaname = 'sluice'`)
      return row?.n ?? 0
    }
    // What this connection did before may still be among them.
    const before = await written()
    await events.publish(Created, { n: 0, text: '' }, { tx })
    return (await written()) - before
  })
  const one = JSON.stringify([
    { topic: 1, version: 1, body: JSON.stringify({ n: 1, text: 'x'.repeat(100) }) },
  ])
  const bytes: number[] = []
  for (let n = 0; n < PUBLISHES; n++) {
    const row = await db.queryOne<{ 'QUERY PLAN': readonly Plan[] }>(
      `explain (analyze, wal, format json) ${PUBLISH}`,
      [one],
    )
    bytes.push(row?.['QUERY PLAN'][0]?.Plan['WAL Bytes'] ?? 0)
  }
  return { rows, walBytes: bytes.toSorted((a, b) => a - b)[PUBLISHES >> 1] ?? 0 }
}

test('a publish writes one row, and as much of the log for ten subscriptions as for one', async (t) => {
  const costs: Cost[] = []
  for (const subscriptions of [1, 10]) {
    await using here = await place()
    const peer = await here.peer()
    await peer.events.publish(Created, { n: 0, text: '' })
    for (let n = 0; n < subscriptions; n++) {
      await peer.events.subscribe(Created, `reader${n}`, () => {}, { from: 'beginning' }).ready()
    }
    costs.push(await costOfPublishing(peer))
  }
  const [one, ten] = costs
  assert.ok(one !== undefined && ten !== undefined)
  t.diagnostic(`rows ${one.rows} and ${ten.rows}; bytes of WAL ${one.walBytes} and ${ten.walBytes}`)
  assert.equal(one.rows, 1)
  assert.equal(ten.rows, 1)
  assert.ok(one.walBytes > 0)
  assert.ok(Math.abs(ten.walBytes - one.walBytes) < 64, `${one.walBytes} bytes and ${ten.walBytes}`)
})
