/** Lots: what is in one is nobody else's, ends once, and is free again when its worker is dead. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ackTasks, failTasks } from '../../src/engine/tasks/finish.ts'
import { claimTasks } from '../../src/engine/tasks/claim.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { ackLot, settleLots } from '../../src/engine/tasks/lots.ts'
import { enqueueUnique } from '../../src/engine/tasks/unique.ts'
import { freeTasks, settleLotsOfTheDead } from '../../src/engine/worker/liveness.ts'
import { count, ids, lotsOf, many, openLots, options, take } from './lots-support.ts'
import { newTask, worker } from './tasks-support.ts'

const AT_ONCE = { deadWithoutLockMs: 0, returnMs: 0, freeAfterCrashMs: 0, freeAfterSilenceMs: 0 }

test(
  'a lot holds plain tasks in their order; others see none of them, and its end deletes all',
  options,
  async () => {
    await using it = await openLots()
    const { db } = it
    const [one, other] = [await worker(db), await worker(db)]
    await enqueueTasks(db, [
      ...many(3),
      newTask({ prio: 0, body: 'first', name: 'n', head: '{"a":1}', grp: 'g' }),
    ])
    const tasks = await take(db, one, 3)
    assert.deepEqual(
      tasks.map(({ body, attempt, name, head, grp }) => [body, attempt, name, head, grp]),
      [
        ['first', 1, 'n', '{"a":1}', 'g'],
        ['0', 1, null, null, null],
        ['1', 1, null, null, null],
      ],
    )
    const [lot] = lotsOf(tasks)
    assert.equal(lot!.left, 3)
    assert.deepEqual(
      (await take(db, other, 10)).map(({ body }) => body),
      ['2'],
    )
    assert.deepEqual(await claimTasks(db, 1, other, 10), [])
    assert.equal(await ackLot(db, ids(tasks), [lot!], [lot!], one), undefined, 'all were there')
    assert.deepEqual([await count(db, 'task'), await count(db, 'lot')], [1, 1])
    assert.deepEqual(await ackLot(db, ids(tasks), [lot!], [lot!], one), [], 'the second time none is')
  },
)

test('what is unique, was tried before or is large is taken one by one, in its place', options, async () => {
  await using it = await openLots()
  const { db } = it
  const id = await worker(db)
  await enqueueTasks(db, [newTask({ body: 'tried' })])
  const [tried] = await claimTasks(db, 1, id, 1)
  await failTasks(db, [{ id: tried!.id, attempt: 1, delay: 0, error: 'once' }], id)
  await enqueueUnique(db, [{ ...newTask({ body: 'unique' }), uniq: 'q:u' }])
  await enqueueTasks(db, [newTask({ body: 'x'.repeat(9_000) }), newTask({ body: 'plain' })])
  const tasks = await take(db, id, 10)
  assert.deepEqual(
    tasks
      .map(({ body, lot, attempt }) => [body?.slice(0, 6), lot !== undefined, attempt])
      .toSorted((a, b) => (String(a) < String(b) ? -1 : 1)),
    [
      ['plain', true, 1],
      ['tried', false, 2],
      ['unique', false, 1],
      ['xxxxxx', false, 1],
    ],
  )
  assert.equal(tasks.find(({ body }) => body === 'tried')?.errs?.[0]?.error, 'once')
  const rest = tasks.filter(({ lot }) => lot === undefined)
  assert.equal((await ackTasks(db, rest, id)).size, 3)
})

test('a row that a transaction holds does not keep a lot waiting', options, async () => {
  await using it = await openLots()
  const { db } = it
  const id = await worker(db)
  await enqueueUnique(db, [{ ...newTask({ body: 'held' }), uniq: 'u' }])
  await enqueueTasks(db, many(2))
  await db.transaction(async (tx) => {
    await tx.query(`select 1 from sluice.task where uniq = 'u' for update`)
    assert.deepEqual(
      (await take(db, id, 10)).map(({ body }) => body),
      ['0', '1'],
    )
  })
  assert.deepEqual(
    (await take(db, id, 10)).map(({ body }) => body),
    ['held'],
  )
})

test('lots and single claims of twelve workers never hold a task twice', options, async () => {
  await using it = await openLots()
  const { db } = it
  const total = 3_000
  const workers = await Promise.all(Array.from({ length: 12 }, () => worker(db)))
  let made = 0
  const producer = async (): Promise<void> => {
    for (; made < total; made += 250) await enqueueTasks(db, many(250, { prio: (made / 250) % 3 }))
  }
  const producing = producer()
  const taken = await Promise.all(
    workers.map(async (id, n) => {
      const mine: string[] = []
      for (let dry = 0; dry < 2;) {
        const isLast = made >= total
        const some = n % 2 === 0 ? await take(db, id, 60) : await claimTasks(db, 1, id, 17)
        mine.push(...ids(some))
        dry = isLast && some.length === 0 ? dry + 1 : 0
      }
      return mine
    }),
  )
  await producing
  const all = taken.flat()
  assert.equal(new Set(all).size, all.length, 'none twice')
  assert.equal(all.length, total)
})

test('a settled lot is as claimed one by one; an end that was under way finds its way', options, async () => {
  await using it = await openLots()
  const { db } = it
  const id = await worker(db)
  await enqueueTasks(db, many(3))
  const tasks = await take(db, id, 3)
  const [lot] = lotsOf(tasks)
  await settleLots(db, [lot!], id)
  assert.equal(lot!.isSettled, true)
  assert.equal(await count(db, 'lot'), 0)
  assert.deepEqual(await ackLot(db, ids(tasks), lotsOf(tasks), [], id), [])
  const [a, b, c] = tasks
  assert.equal((await ackTasks(db, [a!], id)).size, 1)
  assert.deepEqual(await failTasks(db, [{ id: b!.id, attempt: 1, delay: 0, error: 'e' }], id), [
    { id: b!.id, dead: false },
  ])
  assert.deepEqual(
    (await take(db, id, 10)).map(({ body, attempt }) => [body, attempt]),
    [['1', 2]],
  )
  assert.equal((await ackTasks(db, [c!], id)).size, 1)
})

test(
  'the lot of a dead worker is freed, its attempt given back, and its late ends change nothing',
  options,
  async () => {
    await using it = await openLots()
    const { db } = it
    const [dead, alive] = [await worker(db), await worker(db)]
    await enqueueTasks(db, [...many(2), newTask({ body: 'last', max_attempt: 1 })])
    const tasks = await take(db, dead, 10)
    assert.equal((await db.query(settleLotsOfTheDead(AT_ONCE))).length, 0, 'while it lives')
    await db.execute(`update sluice.worker set dead_at = clock_timestamp() where id = $1`, [dead])
    assert.equal((await db.query(settleLotsOfTheDead(AT_ONCE))).length, 1)
    assert.deepEqual(await db.query(freeTasks(AT_ONCE)), [{ queue: 1, freed: 3, dead: 0 }])
    assert.deepEqual(await ackLot(db, ids(tasks), lotsOf(tasks), lotsOf(tasks), dead), [])
    assert.equal((await ackTasks(db, tasks, dead)).size, 0)
    await settleLots(db, lotsOf(tasks), dead)
    const again = await take(db, alive, 10)
    assert.deepEqual(
      again.map(({ body, attempt, lot }) => [body, attempt, lot]),
      [
        ['0', 1, undefined],
        ['1', 1, undefined],
        ['last', 1, undefined],
      ],
    )
    assert.deepEqual(await take(db, dead, 10), [], 'the dead take nothing')
    assert.equal(await count(db, 'dead'), 0)
  },
)

test('an end in a transaction that is rolled back is none', options, async () => {
  await using it = await openLots()
  const { db } = it
  const id = await worker(db)
  await enqueueTasks(db, many(1))
  const tasks = await take(db, id, 1)
  await assert.rejects(
    db.transaction(async (tx) => {
      assert.equal(await ackLot(tx, ids(tasks), lotsOf(tasks), [], id), undefined)
      throw new Error('undone')
    }),
    /undone/,
  )
  assert.deepEqual(await claimTasks(db, 1, id, 1), [], 'the lot is open still')
  assert.equal(await ackLot(db, ids(tasks), lotsOf(tasks), lotsOf(tasks), id), undefined)
})
