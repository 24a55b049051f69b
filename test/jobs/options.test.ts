/** Options of jobs that no other file is about, each on a real server. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { z } from 'zod'
import { job } from '../../src/jobs/index.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { eventually, testJobs } from './support.ts'

leakCheck()

test('of jobs that are ready the most urgent runs first, then the one that was due first', async () => {
  await using it = await testJobs()
  const Sorted = job('sorted', z.string(), { concurrency: 1, priority: 4 })
  await it.jobs.enqueueMany(Sorted, [
    { data: 'late', priority: 9 },
    { data: 'usual' },
    { data: 'first', priority: 0 },
    { data: 'usual too' },
    { data: 'soon', priority: 1 },
  ])
  const ran: string[] = []
  const all = Promise.withResolvers<void>()
  it.jobs.handle(Sorted, ({ data }) => {
    ran.push(data)
    if (ran.length === 5) all.resolve()
  })
  await all.promise
  assert.deepEqual(ran, ['first', 'soon', 'usual', 'usual too', 'late'])
})

for (const where of ['job', 'handler'] as const) {
  test(`the concurrency of the ${where} bounds what runs at once in this process`, async () => {
    await using it = await testJobs()
    const Slow = job('slow', z.number(), where === 'job' ? { concurrency: 3 } : { concurrency: 50 })
    let running = 0
    let most = 0
    let done = 0
    const three = Promise.withResolvers<void>()
    const open = Promise.withResolvers<void>()
    const all = Promise.withResolvers<void>()
    it.jobs.handle(
      Slow,
      async () => {
        most = Math.max(most, ++running)
        if (running === 3) three.resolve()
        await open.promise
        running -= 1
        if (++done === 20) all.resolve()
      },
      where === 'handler' ? { concurrency: 3 } : {},
    )
    await it.jobs.enqueueMany(
      Slow,
      Array.from({ length: 20 }, (_, data) => ({ data })),
    )
    await three.promise
    open.resolve()
    await all.promise
    assert.equal(most, 3)
  })
}

test('a job that runs with a key is cancelled, and the next of its key goes on', async () => {
  // A poll that would find it is far away.
  await using it = await testJobs({ pollInterval: '30s' })
  const peer = await it.peer()
  const Keyed = job('keyed', z.number())
  const started = Promise.withResolvers<void>()
  const aborted = Promise.withResolvers<unknown>()
  const ran: number[] = []
  const last = Promise.withResolvers<void>()
  it.jobs.handle(Keyed, async ({ data, signal }) => {
    ran.push(data)
    if (data === 3) last.resolve()
    if (data !== 1) return
    started.resolve()
    await once(signal, 'abort')
    aborted.resolve(signal.reason)
    throw signal.reason
  })
  const [first, second] = await it.jobs.enqueueMany(
    Keyed,
    [1, 2, 3].map((data) => ({ data, key: 'k' })),
  )
  await started.promise
  // One that waits behind it, then the one that runs; by a process that runs none of them.
  assert.equal(await peer.api.cancel(second!.id), true)
  assert.equal(await peer.api.cancel(first!.id), true)
  assert.equal(await peer.api.cancel(first!.id), false)
  assert.equal(((await aborted.promise) as { code: string }).code, 'SLUICE_CANCELLED')
  await last.promise
  assert.deepEqual(ran, [1, 3])
  assert.deepEqual(await it.jobs.deadLetters.list(), [])
})

test('results and dead letters are deleted when they were kept for long enough', async () => {
  await using it = await testJobs({ keepDead: '1h' })
  const Kept = job('kept', z.number(), { attempts: 1, keepResult: '1h' })
  it.jobs.handle(Kept, ({ data }) => {
    if (data < 0) throw new Error('negative')
    return data
  })
  const ids = await it.jobs.enqueueMany(
    Kept,
    [1, 2, -1, -2].map((data) => ({ data })),
  )
  const [old, young, oldDead, youngDead] = ids.map(({ id }) => id) as [string, string, string, string]
  const states = async (): Promise<readonly unknown[]> =>
    Promise.all([old, young, oldDead, youngDead].map(async (id) => (await it.jobs.get(id))?.state))
  await eventually(async () => ((await states()).join() === 'done,done,dead,dead' ? true : undefined))
  await it.db.execute(`update sluice.done set until = clock_timestamp() - interval '1 ms' where id = $1`, [
    old,
  ])
  await it.db.execute(`update sluice.dead set died = died - interval '61 minutes' where id = $1`, [oldDead])
  // What is over is not shown, also before it is deleted.
  assert.equal(await it.jobs.get(old), undefined)
  const { sweep } = await import('../../src/jobs/admin/sweep.ts')
  await sweep(it.db, 3_600_000, AbortSignal.timeout(10_000))
  assert.deepEqual(await states(), [undefined, 'done', undefined, 'dead'])
  await sweep(it.db, 0, AbortSignal.timeout(10_000))
  assert.deepEqual(await states(), [undefined, 'done', undefined, 'dead'], '0 keeps dead letters for ever')
  const left = await it.db.query(
    'select (select count(*)::int from sluice.done) as done, (select count(*)::int from sluice.dead) as dead',
  )
  assert.deepEqual(left, [{ done: 1, dead: 1 }])
})

test('a failing attempt is logged with its number, and the dead letter as a warning', async () => {
  const lines: string[] = []
  const note =
    (level: string) =>
    (fields: string | object, text = ''): void =>
      void lines.push(
        `${level} ${text} ${typeof fields === 'object' && 'attempt' in fields ? String(fields.attempt) : ''}`,
      )
  const log = {
    debug: note('debug'),
    info: () => {},
    warn: note('warn'),
    error: () => {},
    child: () => log,
  }
  await using it = await testJobs({}, { log })
  const Fails = job('fails', z.number(), { attempts: 2, backoff: { base: 1 } })
  it.jobs.handle(Fails, () => {
    throw new Error('no')
  })
  const { id } = await it.jobs.enqueue(Fails, 1)
  await eventually(() => it.jobs.deadLetters.get(id))
  assert.deepEqual(
    lines.filter((line) => line.includes(' an attempt failed')),
    ['warn an attempt failed 1', 'debug an attempt failed 2'],
  )
  await eventually(() =>
    Promise.resolve(lines.find((line) => line.startsWith('warn jobs became dead letters'))),
  )
})
