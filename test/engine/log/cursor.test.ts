/** Who reads a cursor sees what a transaction has made of it that was still open, once that is over. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Postgres } from '../../../src/components/postgres/index.ts'
import { moveCursors, readCursor } from '../../../src/engine/log/cursor.ts'
import { ownTables, worker } from '../tasks-support.ts'

const EPOCH = '1'

for (const [end, tick] of [
  ['commits', '2'],
  ['is rolled back', '1'],
] as const) {
  test(`a cursor is read behind a transaction that has moved it, once that ${end}`, async () => {
    await using own = await ownTables()
    const { db } = own
    const owner = await leaseOf(db)
    const undone = new Error('undone')
    let read: ReturnType<typeof readCursor> | undefined
    const moving = db.transaction(async (tx) => {
      const to = { tick: '2', till: null, pos: '0' }
      assert.deepEqual(await moveCursors(tx, [{ ref: 1, shard: 0, owner, epoch: EPOCH, reads: 0, ...to }]), [
        true,
      ])
      read = readCursor(db, 1, 0)
      read.catch(() => undefined)
      // Either it waits, or it has read what stood there before.
      await Promise.race([untilOneWaits(db), read])
      if (end !== 'commits') throw undone
    })
    await moving.catch((error: unknown) => assert.equal(error, undone))
    assert.equal((await read)?.tick, tick)
  })
}

async function leaseOf(db: Postgres): Promise<string> {
  const owner = await worker(db)
  await db.script(`insert into sluice.tick (n, snap, lo, hi, x0)
    select n, pg_current_snapshot(), 0, 0, pg_current_xact_id() from generate_series(1, 2) n`)
  await db.execute(
    `insert into sluice.sub (id, name, patterns) overriding system value values (1, 'one', '{t}')`,
  )
  await db.execute(
    `insert into sluice.lease (kind, ref, shard, tick, owner, epoch) values ('s', 1, 0, 1, $1, $2)`,
    [owner, EPOCH],
  )
  return owner
}

async function untilOneWaits(db: Pick<Postgres, 'query'>): Promise<void> {
  const waiting = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  while ((await db.query(waiting)).length === 0);
}
