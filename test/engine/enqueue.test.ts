/** Enqueueing batches: all answers in order, unique ones once, and no deadlock however batches overlap. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { soakCycles } from '../support/soak.ts'
import { newTask, ownTables } from './tasks-support.ts'

const options = { timeout: 120_000 }

test('ids come in the order of the batch, also where it is mixed with unique ones', options, async () => {
  await using tables = await ownTables()
  const { db } = tables
  await enqueueTasks(db, [newTask({ uniq: 'b' })])
  const batch = ['c', undefined, 'b', 'a', undefined, 'c'].map((uniq, n) =>
    newTask({ uniq, body: String(n) }),
  )
  const answers = await enqueueTasks(db, batch)
  assert.equal(answers[2], undefined, 'it was there')
  assert.equal([answers[0], answers[5]].filter((each) => each === undefined).length, 1, 'once in a batch')
  for (const [n, answer] of answers.entries()) {
    if (answer === undefined) continue
    const row = await db.queryOne<{ body: string }>('select body from sluice.task where id = $1', [answer.id])
    assert.equal(row?.body, String(n))
  }
  const plain = await enqueueTasks(
    db,
    Array.from({ length: 50 }, (_, n) => newTask({ body: `plain ${n}` })),
  )
  const rows = await db.query<{ body: string }>(
    'select body from sluice.task where id = any($1::bigint[]) order by array_position($1::bigint[], id)',
    [plain.map((answer) => answer?.id)],
  )
  assert.deepEqual(
    rows.map(({ body }) => body),
    Array.from({ length: 50 }, (_, n) => `plain ${n}`),
  )
})

test('a batch of alike tasks is stored as they would be one by one', options, async () => {
  await using tables = await ownTables()
  const { db } = tables
  const kinds = [
    { name: 'n', prio: 2, max_attempt: 7, grp: 'g', head: '{"requestId":"r"}', delay: 60_000 },
    { run_at: '2031-02-03T04:05:06Z' },
    {},
  ]
  for (const kind of kinds) {
    const bodies = ['{"a":"\\"quoted, \\\\ ünï"}', '1', '[]']
    const alike = await enqueueTasks(
      db,
      bodies.map((body) => newTask({ ...kind, body })),
    )
    // One that has a key makes the batch a mixed one.
    const mixed = await enqueueTasks(db, [
      ...bodies.map((body) => newTask({ ...kind, body })),
      newTask({ key: 'k' }),
    ])
    const stored = (answers: typeof alike): Promise<unknown> =>
      db.query(
        `select queue, name, prio, shard, attempt, max_attempt, owner, key, uniq, grp, body, head, errs, xid is null as "noXid",
           round(extract(epoch from run_at - case when $2 then made else '2000-01-01' end)) as due
         from sluice.task where id = any($1::bigint[]) order by array_position($1::bigint[], id)`,
        [answers.slice(0, 3).map((answer) => answer!.id), !('run_at' in kind)],
      )
    assert.deepEqual(await stored(alike), await stored(mixed))
  }
  assert.deepEqual(await enqueueTasks(db, []), [])
})

test(
  'batches of eight clients with the same unique names neither deadlock nor make one twice',
  options,
  async () => {
    await using tables = await ownTables({ maxOpenConns: 8 })
    const { db } = tables
    const names = Array.from({ length: 200 }, (_, n) => `name ${n}`)
    const rounds = soakCycles(10, 200)
    const created = await Promise.all(
      Array.from({ length: 8 }, async (_, client) => {
        const random = seededRandom(client + 1)
        let count = 0
        for (let round = 0; round < rounds; round++) {
          const batch = names
            .map((uniq) => ({ uniq, at: random() }))
            .toSorted((a, b) => a.at - b.at)
            .slice(0, 100)
            .map(({ uniq }, n) => newTask({ uniq, queue: 1 + (n % 2) }))
          // A lost deadlock would reject.
          count += (await enqueueTasks(db, batch)).filter((answer) => answer !== undefined).length
        }
        return count
      }),
    )
    const { stored } = (await db.queryOne<{ stored: number }>(
      'select count(*)::int as stored from sluice.task',
    ))!
    assert.equal(
      created.reduce((sum, each) => sum + each, 0),
      stored,
    )
  },
)
