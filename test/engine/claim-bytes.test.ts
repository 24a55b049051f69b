/** Claims of large tasks: an answer has a limit of bytes, and what is beyond it is left for the next. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claimTasks } from '../../src/engine/tasks/claim.ts'
import { MAX_CLAIM_BYTES } from '../../src/engine/tasks/claim-sql.ts'
import { ClaimPosition } from '../../src/engine/tasks/claim-position.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { claimKeyed } from '../../src/engine/tasks/keyed.ts'
import { takeOffered } from '../../src/engine/tasks/keyed-offers.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { lotsOf, many, openLots, options, take } from './lots-support.ts'
import { newTask, worker } from './tasks-support.ts'

/** Three of them are just too many. */
const LARGE = 'x'.repeat(Math.ceil(MAX_CLAIM_BYTES / 2))
const sizes = (tasks: readonly { readonly body: string | null }[]): (number | undefined)[] =>
  tasks.map(({ body }) => body?.length)

test(
  'one that is larger than a claim may be comes alone, those behind it with the next',
  options,
  async () => {
    await using it = await openLots()
    const { db } = it
    const id = await worker(db)
    await enqueueTasks(db, [newTask({ body: LARGE + LARGE + LARGE }), ...many(2)])
    assert.deepEqual(sizes(await claimTasks(db, 1, id, 10)), [3 * LARGE.length])
    assert.deepEqual(sizes(await claimTasks(db, 1, id, 10)), [1, 1])
  },
)

test('a claim by ones and by lots takes the first ones, and leaves the others ready', options, async () => {
  await using it = await openLots()
  const { db } = it
  const id = await worker(db)
  await enqueueTasks(
    db,
    [3, 1, 2, 0, 4].map((prio) => newTask({ prio, body: LARGE, grp: String(prio) })),
  )
  const position = new ClaimPosition(new ManualClock())
  const claim = async (): Promise<unknown> =>
    (await claimTasks(db, 1, id, 10, position)).map(({ grp, attempt }) => [grp, attempt])
  assert.deepEqual(await claim(), [
    ['0', 1],
    ['1', 1],
  ])
  await enqueueTasks(db, many(3, { prio: 9 }))
  const taken = await take(db, id, 10)
  assert.deepEqual(
    taken.map(({ grp }) => grp),
    ['2', '3', null, null, null],
  )
  assert.equal(lotsOf(taken)[0]?.left, 3, 'small ones are in a lot, as ever')
  assert.deepEqual(await claim(), [['4', 1]])
  assert.deepEqual(await claim(), [])
})

test('so does a claim of tasks with keys, its own and those that others offer', options, async () => {
  await using it = await openLots()
  const { db } = it
  const id = await worker(db)
  await db.execute(`insert into sluice.lease (kind, ref, shard, owner, epoch) values ('q', 1, 0, $1, 1)`, [
    id,
  ])
  const made = await enqueueTasks(
    db,
    ['a', 'b', 'c', 'd', 'e', 'f'].map((key) => newTask({ key, body: LARGE, name: key })),
  )
  await db.execute('update sluice.task set shard = 8 where id >= $1', [made[3]!.id])
  const claims = made.slice(0, 3).map((task) => ({ id: task!.id, shard: 0, epoch: '1' }))
  const keys = (tasks: readonly { readonly key: string | null }[]): unknown => tasks.map(({ key }) => key)
  const [a, b, c] = claims
  assert.deepEqual(keys(await claimKeyed(db, 1, id, [b!, a!, c!])), ['b', 'a'])
  assert.deepEqual(keys(await claimKeyed(db, 1, id, [b!, a!, c!])), ['c'])
  const offered = (): Promise<readonly { readonly key: string | null }[]> =>
    takeOffered(db, { id: 1, name: 'one' }, id, ['d', 'e', 'f'], 10)
  assert.deepEqual(keys(await offered()), ['d', 'e'])
  assert.deepEqual(keys(await offered()), ['f'])
})
