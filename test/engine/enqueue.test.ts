/** Enqueueing batches: all answers in order, unique ones once, and no deadlock however batches overlap. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { ownDatabase } from '../support/own-database.ts'
import { serverAt } from '../support/servers.ts'
import { soakCycles } from '../support/soak.ts'
import { newTask, openTables } from './tasks-support.ts'

const server = await serverAt('postgres')
const options = { skip: server.skip, timeout: 120_000 }

test('ids come in the order of the batch, also where it is mixed with unique ones', options, async () => {
  await using own = await ownDatabase(server.url)
  await using tables = await openTables(own.dsn)
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

test(
  'batches of eight clients with the same unique names neither deadlock nor make one twice',
  options,
  async () => {
    await using own = await ownDatabase(server.url)
    await using tables = await openTables(own.dsn, { maxOpenConns: 8 })
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
