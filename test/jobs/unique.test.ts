/** Jobs of which there may be one only. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { DROP_WINDOWS, enqueueUnique, type UniqueTask } from '../../src/engine/tasks/unique.ts'
import { job, type EnqueuedJob } from '../../src/jobs/index.ts'
import { testJobs } from './support.ts'

const options = { timeout: 60_000 }
const Mail = job('mail', z.number(), { queue: 'out' })

test('a unique job is put in once, and whoever comes second is told of the first', options, async () => {
  await using it = await testJobs()
  const first = await it.jobs.enqueue(Mail, 1, { unique: 'welcome' })
  const second = await it.jobs.enqueue(Mail, 2, { unique: 'welcome' })
  const other = await it.jobs.enqueue(Mail, 3, { unique: 'goodbye' })
  assert.equal(first.created, true)
  assert.deepEqual(second, { id: first.id, created: false })
  assert.equal(other.created, true)
  // Names are those of one job, also where jobs share a queue.
  const Text = job('text', z.number(), { queue: 'out' })
  assert.equal((await it.jobs.enqueue(Text, 1, { unique: 'welcome' })).created, true)
  assert.deepEqual(await bodies(it), ['1', '3', '1'])
})

test('of two hundred callers at once one puts it in, and all hear the same id', options, async () => {
  await using it = await testJobs()
  const peer = await it.peer()
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      (n % 2 === 0 ? it.jobs : peer.api).enqueue(Mail, n, { unique: 'one' }),
    ),
  )
  assert.equal(answers.filter(({ created }) => created).length, 1)
  assert.equal(new Set(answers.map(({ id }) => id)).size, 1)
  assert.equal((await bodies(it)).length, 1)
})

test('while it runs, another may be queued only where that was asked for', options, async () => {
  await using it = await testJobs()
  const began = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  let begun = 0
  const worker = it.jobs.handle(Mail, async () => {
    if (++begun === 2) began.resolve()
    await finish.promise
  })
  const queued = { unique: { key: 'k', while: 'queued' } } as const
  const running = { unique: { key: 'k', while: 'running' } } as const
  const first = await it.jobs.enqueueMany(Mail, [
    { data: 1, ...queued },
    { data: 2, ...running },
  ])
  assert.deepEqual(
    first.map(({ created }) => created),
    [true, true],
  )
  await began.promise
  assert.equal((await it.jobs.enqueue(Mail, 4, running)).created, false)
  const next = await it.jobs.enqueue(Mail, 3, { ...queued, delay: '1h' })
  assert.equal(next.created, true)
  assert.deepEqual(await it.jobs.enqueue(Mail, 3, queued), { id: next.id, created: false })
  finish.resolve()
  await worker.stop()
  assert.equal((await it.jobs.enqueue(Mail, 5, { ...running, delay: '1h' })).created, true)
})

test('within a window there is one, whatever became of it', options, async () => {
  await using it = await testJobs()
  const daily = { unique: { key: 'report', for: '1h' } } as const
  const first = await it.jobs.enqueue(Mail, 1, daily)
  assert.equal(first.created, true)
  await it.db.execute('delete from sluice.task')
  assert.deepEqual(await it.jobs.enqueue(Mail, 2, daily), { id: first.id, created: false })
  await it.db.execute(`update sluice.once set until = clock_timestamp() - interval '1 ms'`)
  const third = await it.jobs.enqueue(Mail, 3, daily)
  assert.equal(third.created, true)
  assert.notEqual(third.id, first.id)
  assert.deepEqual(await bodies(it), ['3'])
  await it.db.execute(`update sluice.once set until = clock_timestamp() - interval '1 ms'`)
  assert.equal(await it.db.execute(DROP_WINDOWS, [100]), 1)
})

test('replacing gives the one that waits new data and a new due time', options, async () => {
  await using it = await testJobs()
  for (const unique of [
    { key: 'a', replace: true },
    { key: 'b', replace: true, while: 'queued' },
  ] as const) {
    const first = await it.jobs.enqueue(Mail, 1, { unique, delay: '1h' })
    assert.deepEqual(await it.jobs.enqueue(Mail, 2, { unique, delay: '2h' }), {
      id: first.id,
      created: false,
    })
    const row = await it.db.queryOne<{ body: string; later: boolean }>(
      `select body, run_at > clock_timestamp() + interval '90 minutes' as later from sluice.task where id = $1`,
      [first.id],
    )
    assert.deepEqual(row, { body: '2', later: true })
    await it.db.execute('update sluice.task set owner = 1 where id = $1', [first.id])
    assert.equal((await it.jobs.enqueue(Mail, 3, { unique })).id, first.id)
    const running = await it.db.queryOne('select body from sluice.task where id = $1', [first.id])
    assert.deepEqual(running, { body: '2' }, 'what runs is left as it is')
  }
})

test('while one runs, a replacing one is put in behind it', options, async () => {
  await using it = await testJobs()
  const began = Promise.withResolvers<void>()
  const finish = Promise.withResolvers<void>()
  const ran: number[] = []
  const last = Promise.withResolvers<void>()
  const unique = { key: 'doc', replace: true }
  it.jobs.handle(Mail, async ({ data }) => {
    ran.push(data)
    began.resolve()
    if (data === 1) await finish.promise
    if (data === 3) last.resolve()
  })
  await it.jobs.enqueue(Mail, 1, { unique })
  await began.promise
  const next = await it.jobs.enqueue(Mail, 2, { unique, delay: '1h' })
  assert.equal(next.created, true)
  assert.deepEqual(await it.jobs.enqueue(Mail, 3, { unique }), { id: next.id, created: false })
  finish.resolve()
  await last.promise
  assert.deepEqual(ran, [1, 3])
})

test('replacing changes priority and group as well, and keeps the key', options, async () => {
  await using it = await testJobs()
  const unique = { key: 'a', replace: true }
  const { id } = await it.jobs.enqueue(Mail, 1, { unique, delay: '1h', priority: 9, group: 'old', key: 'k' })
  await it.jobs.enqueue(Mail, 2, { unique, delay: '1h', priority: 1, group: 'new', key: 'other' })
  const found = await it.jobs.get(id)
  assert.deepEqual([found?.data, found?.priority, found?.group, found?.key], [2, 1, 'new', 'k'])
})

for (const unique of ['u', { key: 'u', for: '1h' }] as const) {
  const kind = typeof unique === 'string' ? 'a name' : 'the name of a window'
  test(`${kind} that an open transaction holds is not waited for until the end`, options, async () => {
    await using it = await testJobs()
    const held = Promise.withResolvers<void>()
    const letGo = Promise.withResolvers<void>()
    const holder = it.db.transaction(
      async (tx) => {
        await it.jobs.enqueue(Mail, 1, { tx, unique })
        held.resolve()
        await letGo.promise
      },
      { timeout: '60s' },
    )
    await held.promise
    const refused = {
      code: 'SLUICE_CONFLICT',
      retryable: true,
      hint: /enqueued or replaced a job of this name/,
    }
    await Promise.all([
      assert.rejects(it.jobs.enqueue(Mail, 2, { unique }), refused),
      assert.rejects(it.jobs.enqueueMany(Mail, [{ data: 3, unique }, { data: 4 }]), refused),
    ])
    letGo.resolve()
    await holder
    assert.deepEqual(await bodies(it), ['1'])
    assert.equal((await it.jobs.enqueue(Mail, 5, { unique })).created, false)
  })
}

test('in a batch each name is put in once, and answers are those of its items', options, async () => {
  await using it = await testJobs()
  const [before] = await it.jobs.enqueueMany(Mail, [{ data: 0, unique: 'there' }])
  const answers = await it.jobs.enqueueMany(Mail, [
    { data: 1, unique: 'z' },
    { data: 2 },
    { data: 3, unique: 'there' },
    { data: 4, unique: 'z' },
    { data: 5, unique: { key: 'w', for: '1m' } },
    { data: 6 },
    { data: 7, unique: 'a' },
  ])
  assert.deepEqual(
    answers.map(({ created }) => created),
    [true, true, false, false, true, true, true],
  )
  assert.equal(answers[2]?.id, before?.id)
  assert.equal(answers[3]?.id, answers[0]?.id)
  const rows = await it.db.query<{ id: string; body: string }>('select id, body from sluice.task')
  for (const [at, data] of [
    [0, '1'],
    [1, '2'],
    [4, '5'],
    [5, '6'],
    [6, '7'],
  ] as const) {
    assert.equal(rows.find(({ id }) => id === answers[at]?.id)?.body, data)
  }
})

test('a name that a transaction took is free again when it is rolled back', options, async () => {
  await using it = await testJobs()
  const taken = Promise.withResolvers<EnqueuedJob>()
  const back = Promise.withResolvers<void>()
  const undone = it.db
    .transaction(async (tx) => {
      taken.resolve(await it.jobs.enqueue(Mail, 1, { tx, unique: 'k' }))
      await back.promise
      throw new Error('undo')
    })
    .catch(() => {})
  const { created } = await taken.promise
  assert.equal(created, true)
  const second = it.jobs.enqueue(Mail, 2, { unique: 'k' })
  back.resolve()
  await undone
  assert.equal((await second).created, true)
  assert.deepEqual(await bodies(it), ['2'])
})

test('overlapping batches of eight clients in any order never deadlock', options, async () => {
  await using it = await testJobs()
  const queue = 1
  const before = await deadlocks(it)
  const clients = Array.from({ length: 8 }, async (_, client) => {
    let created = 0
    for (let round = 0; round < 15; round++) {
      const tasks = Array.from({ length: 40 }, (_, n): UniqueTask => {
        const name = (n * 7 + client * 13 + round) % 40
        return {
          queue,
          prio: 5,
          shard: 0,
          delay: 0,
          max_attempt: 1,
          body: String(client),
          uniq: `r:${round}:${name}`,
          ...(name % 4 === 0 ? { windowMs: 60_000 } : {}),
          ...(name % 3 === 0 ? { replace: true } : {}),
        }
      })
      const answers = await it.db.transaction((tx) => enqueueUnique(tx, tasks), { retries: 0 })
      created += answers.filter((answer) => answer.created).length
    }
    return created
  })
  const created = await Promise.all(clients)
  assert.equal(
    created.reduce((sum, each) => sum + each, 0),
    15 * 40,
  )
  assert.equal(await deadlocks(it), before)
})

test('what is no unique name is refused', options, async () => {
  await using it = await testJobs()
  for (const unique of [
    '',
    'x'.repeat(201),
    { key: 'a', for: '1m', while: 'queued' },
    { key: 'a', while: 'dead' },
    { key: 'a', during: 'x' },
    { key: 'a', replace: 1 },
    { key: 'a', replace: true, while: 'running' },
    { key: 'a', replace: true, for: '1h' },
    { key: 7 },
  ]) {
    await assert.rejects(it.jobs.enqueue(Mail, 1, { unique: unique as string }), {
      code: 'SLUICE_INVALID_ARGUMENT',
      message: /job "mail": unique/,
    })
  }
})

type TestJobs = Awaited<ReturnType<typeof testJobs>>

async function bodies(it: TestJobs): Promise<readonly string[]> {
  const rows = await it.db.query<{ body: string }>('select body from sluice.task order by id')
  return rows.map(({ body }) => body)
}

async function deadlocks(it: TestJobs): Promise<number> {
  await it.db.execute('select pg_stat_clear_snapshot()')
  const row = await it.db.queryOne<{ n: number }>(
    'select deadlocks::int as n from pg_stat_database where datname = current_database()',
  )
  return row!.n
}
