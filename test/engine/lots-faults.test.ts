/** Lots where something goes wrong: lost answers, clients that do not read, rows that others hold, other isolation. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { LOT_CLASS } from '../../src/engine/locks.ts'
import { claimTasks } from '../../src/engine/tasks/claim.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { ackLot, dropUnknown, settleLots } from '../../src/engine/tasks/lots.ts'
import { enqueueUnique } from '../../src/engine/tasks/unique.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { poolSource } from '../../src/jobs/pool-source.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { freeTasks, settleLotsOfTheDead } from '../../src/engine/worker/liveness.ts'
import { eventually } from '../support/eventually.ts'
import { count, ids, lotsOf, many, openLots, options, take } from './lots-support.ts'
import { newTask, worker } from './tasks-support.ts'

const AT_ONCE = { deadWithoutLockMs: 0, returnMs: 0, freeAfterCrashMs: 0, freeAfterSilenceMs: 0 }

test(
  'what was taken by a claim whose answer was lost is ready again, and what is known stays',
  options,
  async () => {
    await using it = await openLots()
    const { db } = it
    const [id, other] = [await worker(db), await worker(db)]
    await enqueueTasks(db, many(8))
    const known = await take(db, id, 2)
    const knownAlone = await claimTasks(db, 1, id, 2)
    const [lost, lostAlone] = [await take(db, id, 2), await claimTasks(db, 1, id, 2)]
    const foreign = await dropUnknown(db, 1, other, [], [])
    assert.equal(foreign, 0, 'what others took is theirs')
    assert.equal(await dropUnknown(db, 1, id, lotsOf(known), ids(knownAlone)), 3, 'a lot, and two tasks')
    const again = await claimTasks(db, 1, other, 10)
    assert.deepEqual(ids(again).toSorted(), [...ids(lost), ...ids(lostAlone)].toSorted())
    assert.ok(
      again.every(({ attempt }) => attempt === 1),
      'the attempt that never began is not counted',
    )
    assert.equal(await ackLot(db, ids(known), lotsOf(known), lotsOf(known), id), undefined)
  },
)

test('a client that does not read its answer holds up nobody', options, async () => {
  await using it = await openLots()
  const { db } = it
  const [frozen, other] = [await worker(db), await worker(db)]
  await enqueueTasks(db, many(2_100, { body: JSON.stringify('x'.repeat(6_000)) }))
  const client = new pg.Client({ connectionString: it.dsn })
  client.on('error', () => {})
  await client.connect()
  const { stream } = (client as unknown as { connection: { stream: { pause(): void; resume(): void } } })
    .connection
  try {
    const answer = client.query('call sluice.take_lot(1, $1, 2000, $2, null, null, null, null)', [
      frozen,
      Array.from({ length: 10 }, () => 0),
    ])
    stream.pause()
    await eventually(async () => ((await count(db, 'lot')) === 1 ? true : undefined))
    assert.equal((await take(db, other, 60)).length, 60)
    assert.equal((await claimTasks(db, 1, other, 60)).length, 40)
    stream.resume()
    await answer
  } finally {
    stream.resume()
    await client.end()
  }
})

test(
  'two that waited for each other take different tasks, whatever isolation is the default',
  options,
  async () => {
    await using it = await openLots()
    const { db } = it
    const [one, two] = [await worker(db), await worker(db)]
    await enqueueTasks(db, many(20))
    const clients = [1, 2, 3].map(
      () =>
        new pg.Client({
          connectionString: it.dsn,
          options: '-c default_transaction_isolation=repeatable\\ read',
        }),
    )
    const [holder, ...takers] = clients
    try {
      await Promise.all(clients.map((client) => client.connect()))
      await holder!.query(`select pg_advisory_lock(${LOT_CLASS}, 1)`)
      const taking = takers.map((client, n) =>
        client.query<{ packed: string }>('call sluice.take_lot(1, $1, 10, $2, null, null, null, null)', [
          n === 0 ? one : two,
          Array.from({ length: 10 }, () => 0),
        ]),
      )
      await eventually(async () => {
        const rows = await db.query(
          `select from pg_locks where locktype = 'advisory' and classid = ${LOT_CLASS} and not granted
           and database = (select oid from pg_database where datname = current_database())`,
        )
        return rows.length === 2 ? true : undefined
      })
      await holder!.query(`select pg_advisory_unlock(${LOT_CLASS}, 1)`)
      const taken = (await Promise.all(taking)).flatMap(({ rows }) =>
        (JSON.parse(rows[0]!.packed) as [string])[0].split(','),
      )
      assert.equal(taken.length, 20)
      assert.equal(new Set(taken).size, 20, 'none twice')
    } finally {
      await Promise.all(clients.map((client) => client.end()))
    }
  },
)

test(
  'a task that somebody holds keeps nobody from freeing the others of a dead worker',
  options,
  async () => {
    await using it = await openLots()
    const { db } = it
    const dead = await worker(db)
    await enqueueTasks(db, many(3))
    const tasks = await take(db, dead, 3)
    await db.execute('update sluice.worker set dead_at = clock_timestamp() where id = $1', [dead])
    await db.transaction(async (tx) => {
      await tx.query('select 1 from sluice.task where id = $1 for update', [tasks[1]!.id])
      assert.equal((await db.query(settleLotsOfTheDead(AT_ONCE))).length, 0, 'the lot is there, for that one')
      assert.deepEqual(await db.query(freeTasks(AT_ONCE)), [{ queue: 1, freed: 2, dead: 0 }])
    })
    assert.equal((await db.query(settleLotsOfTheDead(AT_ONCE))).length, 1)
    assert.deepEqual(await db.query(freeTasks(AT_ONCE)), [{ queue: 1, freed: 1, dead: 0 }])
  },
)

test(
  'a task that a window names is taken alone, so that it is not replaced while it runs',
  options,
  async () => {
    await using it = await openLots()
    const { db } = it
    const id = await worker(db)
    const windowed = { ...newTask({ body: '"old"' }), uniq: 'w', windowMs: 60_000, replace: true }
    await enqueueUnique(db, [windowed])
    const tasks = await take(db, id, 10)
    assert.deepEqual(
      tasks.map(({ body, lot }) => [body, lot]),
      [['"old"', undefined]],
    )
    await enqueueUnique(db, [{ ...windowed, body: '"new"' }])
    const row = await db.queryOne<{ body: string }>('select body from sluice.task where id = $1', [
      tasks[0]!.id,
    ])
    assert.equal(row?.body, '"old"')
  },
)

test('the last end of a lot and its settling never wait for each other', options, async () => {
  await using it = await openLots()
  const { db } = it
  const id = await worker(db)
  for (let round = 0; round < 30; round += 1) {
    await enqueueTasks(db, many(100))
    const tasks = await take(db, id, 100)
    const lots = lotsOf(tasks)
    const [some] = await Promise.all([ackLot(db, ids(tasks), lots, lots, id), settleLots(db, lots, id)])
    const rest = (await db.query<{ id: string }>('delete from sluice.task returning id::text')).length
    assert.equal(rest, some === undefined ? 0 : 100, 'all of them ended, or all are owned one by one')
  }
})

test('more than a few open lots of a queue, and tasks are taken by ones', options, async () => {
  await using it = await openLots()
  const { db } = it
  const id = await worker(db)
  await enqueueTasks(db, many(30))
  for (let n = 0; n < 8; n += 1) assert.equal(lotsOf(await take(db, id, 2)).length, 1)
  assert.deepEqual(await take(db, id, 2), [])
  assert.equal((await claimTasks(db, 1, id, 100)).length, 14)
})

test(
  'ends of two lots, one of which was settled meanwhile, leave neither tasks nor lots',
  options,
  async () => {
    await using it = await openLots()
    const { db } = it
    const lease = { id: await worker(db), signal: new AbortController().signal }
    await enqueueTasks(db, many(120))
    const engine = { db, clock: new ManualClock() } as unknown as Engine
    const source = poolSource({
      engine,
      queueId: 1,
      queueName: 'one',
      wake: () => {},
      names: () => [],
      handles: () => false,
      left: () => {},
    })
    const tasks = [...(await source.claim(lease, 60)), ...(await source.claim(lease, 60))]
    const [first] = lotsOf(tasks)
    // Behind the back of the source, as a settling whose answer is on its way.
    await settleLots(db, [{ ...first! }], lease.id)
    const ends = tasks.map(({ id, attempt, lot }) => ({ id, attempt, lot, keepMs: 0 }))
    assert.equal((await source.done(db, ends, lease)).size, 120)
    assert.deepEqual([await count(db, 'task'), await count(db, 'lot')], [0, 0])
  },
)
