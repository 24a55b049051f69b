/** Chores: one process at a time, again when their time comes round, and what the engine's own delete. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { addOwnChores, Chores } from '../../src/engine/maintenance.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { newTask, ownTables, worker } from './tasks-support.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'

const options = { timeout: 60_000 }

function choresOf(db: Postgres, clock = new ManualClock()): { chores: Chores; clock: ManualClock } {
  return { chores: new Chores({ db, clock, random: () => 0.5, log: silentLogger }), clock }
}

test(
  'of several processes one does a chore, and it is done again when its time has come',
  options,
  async () => {
    await using tables = await ownTables()
    const { db } = tables
    let done = 0
    const nodes = Array.from({ length: 4 }, () => choresOf(db))
    // Resolves when each node has looked: a look asks the database, and begins the next timer when it is over.
    const looked = async (): Promise<void> => {
      await Promise.all(nodes.map(({ clock }) => clock.advance(60_000)))
      for (const { clock } of nodes) while (clock.pending === 0) await systemClock.sleep(1)
    }
    for (const { chores } of nodes) {
      chores.add('count', 60_000, async () => void done++)
      chores.open()
    }
    await looked()
    assert.equal(done, 1)
    await looked()
    assert.equal(done, 1, 'not again so soon, by the clock of the database')
    await db.execute(
      `update sluice.meta set v = (v::timestamptz - interval '2 minutes')::text where k = 'chore count'`,
    )
    await looked()
    assert.equal(done, 2)
    await Promise.all(nodes.map(({ chores }) => chores.close(new Error('over'))))
  },
)

test('a chore that fails is done again, and close waits for one that runs', options, async () => {
  await using tables = await ownTables()
  const { chores, clock } = choresOf(tables.db)
  const begun = Promise.withResolvers<AbortSignal>()
  const over = Promise.withResolvers<void>()
  let calls = 0
  chores.add('fragile', 1, async (signal) => {
    if (++calls === 1) throw new Error('not this time')
    begun.resolve(signal)
    await over.promise
  })
  chores.open()
  while (calls < 2) {
    await clock.advance(10)
    await systemClock.sleep(1)
  }
  const signal = await begun.promise
  const reason = new Error('over')
  let closed = false
  const closing = chores.close(reason).then(() => (closed = true))
  assert.equal(signal.reason, reason)
  await systemClock.sleep(1)
  assert.equal(closed, false)
  over.resolve()
  await closing
})

test('workers that died long ago are forgotten, unless they still own something', options, async () => {
  await using tables = await ownTables()
  const { db } = tables
  const [gone, owning, recent, alive] = [
    await worker(db),
    await worker(db),
    await worker(db),
    await worker(db),
  ]
  await enqueueTasks(db, [newTask({})])
  await db.execute('update sluice.task set owner = $1', [owning])
  await db.execute(`update sluice.worker set dead_at = now() - interval '2 days' where id in ($1, $2)`, [
    gone,
    owning,
  ])
  await db.execute(`update sluice.worker set dead_at = now() where id = $1`, [recent])
  await db.execute(
    `insert into sluice.once (queue, uniq, until) values (1, 'over', now() - interval '1 hour'), (1, 'open', now() + interval '1 hour')`,
  )
  const { chores, clock } = choresOf(db)
  addOwnChores(chores, db)
  chores.open()
  const rows = async (sql: string): Promise<unknown[]> =>
    (await db.query<{ v: unknown }>(sql)).map(({ v }) => v)
  for (;;) {
    await clock.advance(60_000)
    const workers = await rows('select id as v from sluice.worker order by id')
    const windows = await rows('select uniq as v from sluice.once')
    if (workers.length > 3 || windows.length > 1) continue
    assert.deepEqual(workers, [owning, recent, alive])
    assert.deepEqual(windows, ['open'])
    break
  }
  await chores.close(new Error('over'))
})
