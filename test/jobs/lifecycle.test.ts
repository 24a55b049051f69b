import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { createApp, silentLogger } from '../../src/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { eventually, testJobs } from './support.ts'

leakCheck()

const Greet = job('greet', z.object({ name: z.string() }), { backoff: { base: 1 } })

test('a shutdown lets jobs end, and claims no more', async () => {
  await using it = await testJobs()
  const started = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const names: string[] = []
  it.jobs.handle(
    Greet,
    async ({ data, signal }) => {
      started.resolve()
      await goOn.promise
      signal.throwIfAborted()
      names.push(data.name)
    },
    { concurrency: 1 },
  )
  await it.jobs.enqueue(Greet, { name: 'Ada' })
  await started.promise
  await it.open.component.stopIntake?.(AbortSignal.timeout(5_000))
  const { id } = await it.jobs.enqueue(Greet, { name: 'Bob' })
  const draining = it.open.component.drain?.(AbortSignal.timeout(10_000))
  goOn.resolve()
  await draining
  assert.deepEqual(names, ['Ada'])
  assert.deepEqual(await it.db.query('select id, attempt, owner from sluice.task'), [
    { id, attempt: 0, owner: null },
  ])
})

test('jobs that outlast the shutdown are aborted and given back, their attempt not counted', async () => {
  await using it = await testJobs({ shutdownTimeout: 50 })
  const peer = await it.peer()
  const started = Promise.withResolvers<void>()
  const reasons: unknown[] = []
  it.jobs.handle(Greet, async ({ signal }) => {
    started.resolve()
    await once(signal, 'abort')
    reasons.push((signal.reason as { code: string }).code)
    throw signal.reason
  })
  await it.jobs.enqueue(Greet, { name: 'Ada' })
  await started.promise
  await it.open.component.drain?.(AbortSignal.timeout(10_000))
  assert.deepEqual(reasons, ['SLUICE_SHUTDOWN'])
  const attempts = Promise.withResolvers<number>()
  peer.api.handle(Greet, ({ attempt }) => attempts.resolve(attempt))
  assert.equal(await attempts.promise, 1)
})

test('a handler that heeds nothing does not hold a shutdown, and its job is given back', async () => {
  await using it = await testJobs({ shutdownTimeout: 10 })
  const started = Promise.withResolvers<void>()
  const late = Promise.withResolvers<void>()
  it.jobs.handle(Greet, async () => {
    started.resolve()
    await late.promise
  })
  const { id } = await it.jobs.enqueue(Greet, { name: 'Ada' })
  await started.promise
  await it.open.component.drain?.(AbortSignal.timeout(10_000))
  late.resolve()
  assert.deepEqual(await it.db.query('select id, attempt, owner from sluice.task'), [
    { id, attempt: 0, owner: null },
  ])
})

test('jobs claimed ahead are given back when their worker stops', async () => {
  await using it = await testJobs()
  await it.jobs.enqueueMany(
    Greet,
    Array.from({ length: 500 }, (_, n) => ({ data: { name: String(n) } })),
  )
  const started = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  let ran = 0
  const worker = it.jobs.handle(
    Greet,
    async () => {
      ran += 1
      if (ran < 100) return
      started.resolve()
      await goOn.promise
    },
    { concurrency: 5 },
  )
  await started.promise
  const stopped = worker.stop()
  goOn.resolve()
  await stopped
  await eventually(async () => {
    const rows = await it.db.query<{ n: number }>(
      'select count(*)::int as n from sluice.task where owner is null and attempt = 0',
    )
    return rows[0]?.n === 500 - ran ? true : undefined
  })
})

test('a worker that was taken for dead aborts its jobs, and goes on under a new lease', async () => {
  await using it = await testJobs()
  const attempts: number[] = []
  const aborted = Promise.withResolvers<unknown>()
  const again = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  it.jobs.handle(Greet, async ({ attempt, signal }) => {
    attempts.push(attempt)
    if (attempt > 1) return again.resolve()
    started.resolve()
    await once(signal, 'abort')
    aborted.resolve(signal.reason)
  })
  const { id } = await it.jobs.enqueue(Greet, { name: 'Ada' })
  await started.promise
  // As another process does that has not heard of this one for long.
  await it.db.execute(`update sluice.worker set dead_at = clock_timestamp() - interval '1 minute'`)
  await it.db.execute('update sluice.task set owner = null where owner is not null')
  await aborted.promise
  await again.promise
  assert.deepEqual(attempts, [1, 2])
  await eventually(async () => ((await it.jobs.get(id)) === undefined ? true : undefined))
})

test('what an attempt answers after its job was given to others changes nothing', async () => {
  await using it = await testJobs({ notify: false, pollInterval: '1h' })
  const started = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const worker = it.jobs.handle(Greet, async () => {
    started.resolve()
    await goOn.promise
  })
  const { id } = await it.jobs.enqueue(Greet, { name: 'Ada' })
  await started.promise
  // One that lives: what a dead one has is given back.
  const other = await it.db.queryOne<{ id: string }>(
    `insert into sluice.worker (name, beat) values ('other', clock_timestamp() + interval '1 hour') returning id`,
  )
  await it.db.execute('update sluice.task set owner = $2, attempt = 2 where id = $1', [id, other?.id])
  goOn.resolve()
  await worker.stop()
  assert.deepEqual(await it.db.query('select attempt, owner from sluice.task'), [
    { attempt: 2, owner: other?.id },
  ])
})

test('many callers at once are stored by few statements', async () => {
  await using it = await testJobs()
  await it.jobs.enqueue(Greet, { name: 'first' })
  await it.jobs.pause('greet')
  const stored = await Promise.all(
    Array.from({ length: 1_000 }, (_, n) => it.jobs.enqueue(Greet, { name: String(n) })),
  )
  assert.equal(new Set(stored.map(({ id }) => id)).size, 1_000)
  const [row] = await it.db.query<{ n: number }>(
    'select count(distinct xmin::text)::int as n from sluice.task',
  )
  assert.ok(row!.n < 20, `${row!.n} transactions`)
})

test('a job that is due later starts when it is due, also when another process put it in', async () => {
  await using it = await testJobs({ pollInterval: '1h' })
  const peer = await it.peer()
  const ran = Promise.withResolvers<void>()
  it.jobs.handle(Greet, () => ran.resolve())
  await peer.api.enqueue(Greet, { name: 'Ada' }, { delay: 300 })
  await ran.promise
})

test('facts of the queue are in what the component says of itself and in its metrics', async () => {
  await using it = await testJobs()
  const ran = Promise.withResolvers<void>()
  const worker = it.jobs.handle(Greet, () => ran.resolve())
  await it.jobs.enqueue(Greet, { name: 'Ada' })
  await ran.promise
  await it.open.check()
  await eventually(() => {
    const queues = it.open.component.inspect()['queues'] as Record<string, Record<string, number>>
    return Promise.resolve(queues['greet']?.['claimedMsAgo'])
  })
  await worker.stop()
  assert.match(it.open.metrics.expose(), /sluice_jobs_done_total\{component="jobs",job="greet"\} 1/)
})

test('an app that stops waits for a job that runs, and for its end to be stored', async () => {
  await using own = await durableDatabase()
  const app = createApp({
    name: 'jobs',
    port: 0,
    host: '127.0.0.1',
    env: {},
    logger: silentLogger,
    components: { db: postgres({ dsn: own.dsn, maxOpenConns: 4 }), jobs: jobs() },
  })
  const started = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  await app.start()
  await app.init.ready()
  app.components.jobs.handle(Greet, async () => {
    started.resolve()
    await goOn.promise
  })
  await app.components.jobs.enqueue(Greet, { name: 'Ada' })
  await started.promise
  const stopping = app.stop()
  goOn.resolve()
  await stopping
  await using after = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  assert.deepEqual(await after.api.query('select id from sluice.task'), [])
})
