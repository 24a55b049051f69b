/** Figures about the engine: right, bounded, and shown without a query. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claimTasks } from '../../src/engine/tasks/claim.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { failTasks } from '../../src/engine/tasks/finish.ts'
import { Facts } from '../../src/engine/facts.ts'
import type { Postgres } from '../../src/components/postgres/index.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { Metrics } from '../../src/telemetry/metric.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { take } from './lots-support.ts'
import { newTask, ownTables, worker } from './tasks-support.ts'

const options = { timeout: 60_000 }

function factsOf(
  db: Postgres,
  log: Logger = silentLogger,
  xminWarnMs = 300_000,
): { facts: Facts; metrics: Metrics } {
  const metrics = createMetrics()
  const clock = new ManualClock()
  return {
    facts: new Facts({ db, clock, random: () => 0.5, log, metrics, beatAgeMs: () => 1_500, xminWarnMs }),
    metrics,
  }
}

test(
  'tasks are counted by queue and state, and a queue that is empty again shows zero',
  options,
  async () => {
    await using tables = await ownTables()
    const { db } = tables
    const id = await worker(db)
    await enqueueTasks(db, [
      ...Array.from({ length: 6 }, () => newTask({ run_at: '2020-01-01T00:00:00Z' })),
      newTask({ delay: 3_600_000 }),
      newTask({ key: 'k' }),
      newTask({ key: 'k', delay: 3_600_000 }),
      newTask({ queue: 2, delay: 3_600_000 }),
    ])
    const held = await claimTasks(db, 1, id, 3)
    await failTasks(db, [{ ...held[0]!, delay: -1, error: 'bad' }], id)
    const { facts, metrics } = factsOf(db)
    facts.open()
    const { queues, workers, xminAgeMs } = await facts.read()
    const one = queues.find(({ queue }) => queue === 'one')
    assert.ok((one?.oldestReadyMs ?? 0) > 86_400_000)
    assert.deepEqual(
      { ...one, oldestReadyMs: 0 },
      {
        queue: 'one',
        ready: 4,
        scheduled: 2,
        running: 2,
        dead: 1,
        oldestReadyMs: 0,
      },
    )
    assert.deepEqual(
      queues.find(({ queue }) => queue === 'two'),
      { queue: 'two', ready: 0, scheduled: 1, running: 0, dead: 0, oldestReadyMs: 0 },
    )
    assert.equal(workers, 1)
    assert.ok(xminAgeMs >= 0)
    assert.match(metrics.expose(), /sluice_engine_ready_tasks\{component="db",queue="one"\} 4\n/)
    assert.match(metrics.expose(), /sluice_engine_heartbeat_age_seconds\{component="db"\} 1.5\n/)
    await db.execute('truncate sluice.task, sluice.dead')
    await facts.read()
    assert.match(metrics.expose(), /sluice_engine_ready_tasks\{component="db",queue="one"\} 0\n/)
    assert.match(metrics.expose(), /sluice_engine_scheduled_tasks\{component="db",queue="two"\} 0\n/)
    await facts.close()
  },
)

test('tasks of an open lot are running, and not the oldest that is ready', options, async () => {
  await using tables = await ownTables()
  const { db } = tables
  const id = await worker(db)
  await enqueueTasks(
    db,
    Array.from({ length: 60 }, () => newTask({ run_at: '2020-01-01T00:00:00Z' })),
  )
  assert.equal((await take(db, id, 60)).length, 60)
  await enqueueTasks(db, [newTask({}), newTask({})])
  const { facts } = factsOf(db)
  facts.open()
  const one = (await facts.read()).queues.find(({ queue }) => queue === 'one')
  assert.deepEqual([one?.ready, one?.running], [2, 60])
  assert.ok((one?.oldestReadyMs ?? Infinity) < 86_400_000)
  await facts.close()
})

test('counting stops early, however many tasks there are', options, async () => {
  await using tables = await ownTables()
  const { db } = tables
  await db.execute(`insert into sluice.task (queue, body) select 1, '{}' from generate_series(1, 30000)`)
  await db.execute('analyze sluice.task')
  const { facts } = factsOf(db)
  const { queues } = await facts.read()
  assert.equal(queues[0]?.ready, 10_000)
})

test('a transaction that stays open is warned of once', options, async () => {
  await using tables = await ownTables()
  const { db } = tables
  const warnings: unknown[] = []
  const log: Logger = { ...silentLogger, warn: (...args: unknown[]) => void warnings.push(args) }
  const { facts } = factsOf(db, log, 0)
  await db.transaction(
    async (tx) => {
      await tx.query('select count(*) from sluice.task')
      await facts.read()
      await facts.read()
    },
    { isolation: 'repeatable read' },
  )
  assert.equal(warnings.length, 1)
})
