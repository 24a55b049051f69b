import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Deadlines } from '../../src/core/deadlines.ts'
import { engineOf, releaseEngine } from '../../src/engine/engine.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { poolSource } from '../../src/jobs/pool-source.ts'
import { jobMetrics } from '../../src/jobs/run/job-metrics.ts'
import type { JobRun } from '../../src/jobs/run/job-run.ts'
import { ProgressWriter } from '../../src/jobs/run/progress.ts'
import { QueueRunner } from '../../src/jobs/run/queue-runner.ts'
import { Station } from '../../src/jobs/run/station.ts'
import type { SourceFactory } from '../../src/jobs/source.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { databaseProxy } from '../support/database-proxy.ts'
import { eventually, testJobs } from './support.ts'

leakCheck()

const Greet = job('greet', z.object({ name: z.string() }))

/** A source whose first claim never answers. */
const stuckAtFirst: SourceFactory = (host) => {
  const pool = poolSource(host)
  let claims = 0
  const claim = pool.claim.bind(pool)
  pool.claim = (lease, limit) => {
    claims += 1
    return claims === 1 ? new Promise(() => {}) : claim(lease, limit)
  }
  return pool
}

test('a loop that does not come round any more is replaced', async () => {
  await using it = await testJobs()
  const { open } = it
  const engine = engineOf({
    db: it.db,
    clock: systemClock,
    random: Math.random,
    log: silentLogger,
    metrics: open.metrics,
    appName: 'test',
  })
  const runner = new QueueRunner({
    engine,
    queueId: await engine.queues.id('greet'),
    queueName: 'greet',
    pollMs: 10,
    stuckMs: 30,
    log: silentLogger,
    sources: [stuckAtFirst],
    onUnknown: () => {},
  })
  const ran = Promise.withResolvers<void>()
  runner.start()
  runner.add(
    new Station({
      job: Greet as never,
      handler: { kind: 'single', run: (_run: JobRun) => ran.resolve() },
      concurrency: 1,
      clock: systemClock,
      random: Math.random,
      log: silentLogger,
      deadlines: new Deadlines(systemClock),
      progress: new ProgressWriter(engine),
      metrics: jobMetrics(open.metrics, 'jobs', 'greet'),
      onRoom: runner.onRoom,
    }),
  )
  await it.jobs.enqueue(Greet, { name: 'Ada' })
  await eventually(async () => {
    await systemClock.sleep(1)
    runner.tick()
    return runner.facts.restarts > 0 ? true : undefined
  })
  await ran.promise
  await runner.drain(AbortSignal.abort(), AbortSignal.timeout(5_000))
  await runner.close(AbortSignal.timeout(5_000))
  await releaseEngine(engine)
})

test('with the database away ends wait for it, and jobs run on when it is back', async () => {
  await using it = await testJobs()
  await using faulty = await databaseProxy(it.dsn)
  const { proxy } = faulty
  await using db = await connectComponent(postgres({ dsn: faulty.dsn }), { name: 'db' })
  await using behind = await connectComponent(jobs(), { required: { postgres: db.api } })
  const started = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const names: string[] = []
  behind.api.handle(Greet, async ({ data }) => {
    names.push(data.name)
    started.resolve()
    if (data.name === 'Ada') await goOn.promise
  })
  const { id } = await it.jobs.enqueue(Greet, { name: 'Ada' })
  await started.promise
  await proxy.refuse()
  proxy.reset()
  goOn.resolve()
  await it.jobs.enqueue(Greet, { name: 'Bob' })
  const refused = behind.api.enqueue(Greet, { name: 'nobody' }, { signal: AbortSignal.timeout(200) })
  await assert.rejects(refused)
  proxy.heal()
  await proxy.accept()
  await eventually(async () => {
    // As an app does.
    if (db.phase === 'degraded') await db.connect()
    const [queue] = await it.jobs.stats()
    return queue?.ready === 0 && queue.running === 0 && queue.scheduled === 0 ? true : undefined
  })
  assert.equal(await it.jobs.get(id), undefined)
  assert.deepEqual(
    names.slice(0, 2).toSorted((a, b) => a.localeCompare(b)),
    ['Ada', 'Bob'],
  )
})

test('jobs work on the embedded server', async () => {
  const stack = new AsyncDisposableStack()
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-jobs-'))
  stack.defer(() => rm(dataDir, { recursive: true, force: true }))
  try {
    const db = stack.use(await connectComponent(postgres({ dataDir }), { name: 'db' }))
    const open = stack.use(await connectComponent(jobs(), { required: { postgres: db.api } }))
    const ran = Promise.withResolvers<string>()
    open.api.handle(Greet, ({ data }) => ran.resolve(data.name))
    await db.api.transaction(async (tx) => {
      await open.api.enqueue(Greet, { name: 'Ada' }, { tx, key: 'k', priority: 1, delay: 10 })
    })
    assert.equal(await ran.promise, 'Ada')
    await eventually(async () => ((await open.api.stats())[0]?.running === 0 ? true : undefined))
  } finally {
    await stack.disposeAsync()
  }
})
