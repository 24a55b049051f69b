/** Dead letters of jobs and of deliveries are kept for as long as each of them was asked for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dropOldDead } from '../../src/engine/tasks/dead-retention.ts'
import { ownTables } from './tasks-support.ts'

const DAY = 86_400_000

test('each kind is deleted by its own time', { timeout: 60_000 }, async () => {
  await using tables = await ownTables()
  const { db } = tables
  await db.execute(`insert into sluice.sub (name, queue, patterns) values ('reader', 2, '{#}')`)
  const fill = (queue: number, id: number, days: number): Promise<unknown> =>
    db.execute(
      `insert into sluice.dead (id, queue, prio, shard, attempt, max_attempt, run_at, made, why, died)
       values ($1, $2, 5, 0, 1, 1, now(), now(), 'why', now() - $3 * interval '1 day')`,
      [id, queue, days],
    )
  await fill(1, 11, 3)
  await fill(1, 12, 1)
  await fill(2, 21, 3)
  await fill(2, 22, 1)
  const left = async (): Promise<readonly number[]> =>
    (await db.query<{ id: string }>('select id from sluice.dead order by id')).map(({ id }) => Number(id))
  const signal = AbortSignal.timeout(30_000)
  await dropOldDead(db, 'jobs', 2 * DAY, signal)
  assert.deepEqual(await left(), [12, 21, 22])
  await dropOldDead(db, 'deliveries', 0, signal)
  assert.deepEqual(await left(), [12, 21, 22], '0 is for ever')
  await dropOldDead(db, 'deliveries', 2 * DAY, signal)
  assert.deepEqual(await left(), [12, 22])
})

test('what is kept for a time is found by when it ends', { timeout: 60_000 }, async () => {
  await using tables = await ownTables()
  const { db } = tables
  const plan = async (sql: string): Promise<string> =>
    db.session(async (session) => {
      await session.script('set enable_seqscan = off; set enable_bitmapscan = off')
      return (await session.query<Record<string, string>>(`explain ${sql}`))
        .map((row) => Object.values(row)[0])
        .join('\n')
    })
  assert.match(await plan('select from sluice.once where until < now() limit 10'), /once_until/)
  assert.match(
    await plan('select id from sluice.dead where died < now() order by died, id limit 10'),
    /dead_died/,
  )
})
