/** Claiming: nothing twice, in order, and without walking what is not to be claimed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { CLAIM_STATEMENTS } from '../../src/engine/tasks/claim-sql.ts'
import { claimTasks } from '../../src/engine/tasks/claim.ts'
import { ClaimPosition, FROM_THE_BEGINNING } from '../../src/engine/tasks/claim-position.ts'
import { ACK, ackTasks, failTasks, releaseTasks } from '../../src/engine/tasks/finish.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import type { HeldTask } from '../../src/engine/tasks/task.ts'
import { soakCycles } from '../support/soak.ts'
import { newTask, ownTables, worker } from './tasks-support.ts'

const options = { timeout: 120_000 }

test('sixteen that claim at once never get a task twice, and get all of them', options, async () => {
  await using tables = await ownTables({ maxOpenConns: 16 })
  const { db } = tables
  const count = soakCycles(2_000, 20_000)
  await enqueueTasks(
    db,
    Array.from({ length: count }, (_, n) => newTask({ prio: n % 3 })),
  )
  const workers = await Promise.all(Array.from({ length: 16 }, () => worker(db)))
  const claimed = await Promise.all(
    workers.map(async (id) => {
      const tasks: HeldTask[] = []
      for (;;) {
        const some = await claimTasks(db, 1, id, 37)
        if (some.length === 0) return tasks
        tasks.push(...some)
      }
    }),
  )
  const ids = claimed.flat().map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length, 'none twice')
  // One that skipped rows which another had locked may have ended early, never all of them.
  assert.equal(ids.length, count)
})

test(
  'tasks come by priority, then by due time; delayed ones, those of others and paused queues not at all',
  options,
  async () => {
    await using tables = await ownTables()
    const { db } = tables
    const id = await worker(db)
    await enqueueTasks(db, [
      newTask({ prio: 9, body: 'e' }),
      newTask({ prio: 5, body: 'd' }),
      newTask({ prio: 5, body: 'c', run_at: '2020-01-01T00:00:00Z' }),
      newTask({ prio: 0, body: 'later', delay: 3_600_000 }),
      newTask({ prio: 0, body: 'a' }),
      newTask({ prio: 1, body: 'b' }),
      newTask({ prio: 0, body: 'other', queue: 2 }),
      newTask({ prio: 0, body: 'keyed', key: 'k' }),
    ])
    await db.execute('update sluice.queue set paused_at = now() where id = 1')
    assert.deepEqual(await claimTasks(db, 1, id, 10), [])
    await db.execute('update sluice.queue set paused_at = null where id = 1')
    const first = await claimTasks(db, 1, id, 3)
    const rest = await claimTasks(db, 1, id, 10)
    assert.deepEqual(
      [...first, ...rest].map(({ body }) => body),
      ['a', 'b', 'c', 'd', 'e'],
    )
    assert.ok([...first, ...rest].every(({ attempt }) => attempt === 1))
  },
)

test('a worker whose row is dead claims nothing, and none of its answers counts', options, async () => {
  await using tables = await ownTables()
  const { db } = tables
  const [zombie, other] = [await worker(db), await worker(db)]
  await enqueueTasks(db, [newTask({}), newTask({}), newTask({}), newTask({})])
  const held = await claimTasks(db, 1, zombie, 3)
  await db.execute('update sluice.worker set dead_at = now() where id = $1', [zombie])
  assert.deepEqual(await claimTasks(db, 1, zombie, 1), [])
  // As the reaper frees them.
  await db.execute('update sluice.task set owner = null where owner = $1', [zombie])
  const taken = await claimTasks(db, 1, other, 4)
  assert.equal(taken.length, 4)
  const [a, b, c] = held as [HeldTask, HeldTask, HeldTask]
  assert.equal((await ackTasks(db, [a], zombie)).size, 0)
  assert.deepEqual(await failTasks(db, [{ ...b, delay: -1, error: 'late' }], zombie), [])
  assert.equal((await releaseTasks(db, [c], zombie)).size, 0)
  // The same worker, an attempt of before.
  const again = taken.find(({ id }) => id === a.id)!
  assert.equal((await ackTasks(db, [{ id: again.id, attempt: again.attempt - 1 }], other)).size, 0)
  assert.equal((await ackTasks(db, taken, other)).size, 4)
  assert.equal(await db.queryOne('select 1 from sluice.dead'), undefined)
})

test('the plans of claim and ack look into indexes, whatever the statistics say', options, async () => {
  await using tables = await ownTables()
  const { db } = tables
  const id = await worker(db)
  const rows = soakCycles(200_000, 1_200_000)
  await db.execute('analyze sluice.task')
  await fill(db, rows)
  for (const statistics of ['of an empty table', 'fresh']) {
    if (statistics === 'fresh') await db.execute('analyze sluice.task', [], { timeout: '60s' })
    for (const mode of ['force_generic_plan', 'force_custom_plan']) {
      for (const [name, statement] of Object.entries(CLAIM_STATEMENTS)) {
        const claim = await explain(
          db,
          mode,
          'int, bigint, int, float8[]',
          statement,
          `1, ${id}, 100, '{${FROM_THE_BEGINNING.join()}}'`,
        )
        assert.doesNotMatch(
          claim,
          /Sort\n|Sort Key: k|Seq Scan on task|Bitmap Index Scan on task_ready/,
          `${name}, ${mode}, ${statistics} statistics`,
        )
        if (name !== 'others') assert.match(claim, /Index Scan using task_ready/)
        if (name !== 'lot') assert.match(claim, /Scan (using|on) task_pkey/)
      }
      const ack = await explain(db, mode, 'bigint[], smallint[], bigint', ACK, `'{1,2,3}', '{1,1,1}', ${id}`)
      assert.doesNotMatch(ack, /Seq Scan on task|task_owned/, `${mode}, ${statistics} statistics`)
      assert.match(ack, /Scan (using|on) task_pkey/)
    }
  }
})

test(
  'while the server cannot clear away what was claimed, looks begin where tasks are; what comes late is found',
  options,
  async () => {
    await using tables = await ownTables()
    const { db } = tables
    const id = await worker(db)
    const clock = new ManualClock()
    const position = new ClaimPosition(clock)
    await enqueueTasks(db, [newTask({ body: 'first' })])
    const slow = position.look(10)
    assert.deepEqual(slow.from, FROM_THE_BEGINNING)
    await clock.advance(100)
    slow.found([])
    const [first] = await claimTasks(db, 1, id, 10, position)
    assert.equal(first?.body, 'first')
    assert.ok((position.look(10).from[5] ?? 0) > 0, 'the look before was slow')
    await enqueueTasks(db, [
      newTask({ body: 'new' }),
      newTask({ body: 'late', run_at: new Date(first.run_at - 60_000).toISOString() }),
    ])
    assert.deepEqual(
      (await claimTasks(db, 1, id, 10, position)).map(({ body }) => body),
      ['new'],
    )
    await clock.advance(5_000)
    assert.deepEqual(
      (await claimTasks(db, 1, id, 10, position)).map(({ body }) => body),
      ['late'],
    )
    assert.deepEqual(position.look(10).from, FROM_THE_BEGINNING, 'that look was quick')
  },
)

test(
  'looks that bring all they can take begin where the last one ended; others from the beginning, at once',
  options,
  async () => {
    await using tables = await ownTables()
    const { db } = tables
    const id = await worker(db)
    const clock = new ManualClock()
    const position = new ClaimPosition(clock)
    const take = async (limit: number): Promise<(string | null)[]> =>
      (await claimTasks(db, 1, id, limit, position)).map(({ body }) => body)
    const early = new Date(Date.now() - 3_600_000).toISOString()
    await enqueueTasks(
      db,
      ['a', 'b', 'c', 'd', 'e'].map((body) => newTask({ body })),
    )
    assert.deepEqual(await take(2), ['a', 'b'])
    assert.ok((position.look(2).from[5] ?? 0) > 0)
    await enqueueTasks(db, [newTask({ body: 'late', run_at: early })])
    assert.deepEqual(await take(2), ['c', 'd'])
    assert.deepEqual(await take(2), ['e', 'late'], 'the rest is looked for in the same call')

    await enqueueTasks(
      db,
      ['f', 'g', 'h'].map((body) => newTask({ body })),
    )
    assert.deepEqual(await take(1), ['f'])
    await enqueueTasks(db, [newTask({ body: 'late', run_at: early })])
    assert.deepEqual(await take(1), ['g'])
    await clock.advance(100)
    assert.deepEqual(await take(1), ['late'], 'a tenth of a second after the last look from the beginning')
  },
)

test(
  'a second look that fails is told of, and what the first brought goes to the caller',
  options,
  async () => {
    await using tables = await ownTables()
    const { db } = tables
    const id = await worker(db)
    const position = new ClaimPosition(new ManualClock())
    await enqueueTasks(
      db,
      ['a', 'b'].map((body) => newTask({ body })),
    )
    assert.equal((await claimTasks(db, 1, id, 1, position)).length, 1)
    let calls = 0
    let lost = 0
    const failing = {
      ...db,
      queryOne: (...args: Parameters<typeof db.queryOne>) => {
        calls += 1
        if (calls === 2) throw new Error('the answer was lost')
        return db.queryOne(...args)
      },
    } as typeof db
    const tasks = await claimTasks(failing, 1, id, 5, position, () => void (lost += 1))
    assert.deepEqual(
      tasks.map(({ body }) => body),
      ['b'],
    )
    assert.deepEqual([calls, lost], [2, 1])
    calls = 1
    await assert.rejects(claimTasks(failing, 1, id, 5, position), /the answer was lost/)
  },
)

async function fill(db: Postgres, rows: number): Promise<void> {
  await db.execute(
    `insert into sluice.task (queue, prio, body, run_at)
     select 1, n % 3, '{}', clock_timestamp() + case when n % 6 = 0 then interval '1 hour' else interval '0' end
     from generate_series(1, $1::int) n`,
    [rows],
    { timeout: '100s' },
  )
}

/** The plan of a prepared statement. */
async function explain(
  db: Postgres,
  mode: string,
  types: string,
  sql: string,
  values: string,
): Promise<string> {
  return db.session(async (session) => {
    await session.script(`set plan_cache_mode = ${mode}; prepare probe(${types}) as ${sql}`)
    const rows = await session.query<{ 'QUERY PLAN': string }>(`explain execute probe(${values})`)
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  })
}
