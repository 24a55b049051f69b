/** What is counted of runs, in this process and in the cluster. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cron } from '../../src/cron/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import type { Metrics } from '../../src/telemetry/metric.ts'
import { eventually } from '../support/eventually.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { openNode } from './cluster-support.ts'

const options = { timeout: 240_000 }

function countsOf(metrics: Metrics, schedule: string): Record<string, number> {
  const runs = metrics.counter('sluice_cron_runs_total', '')
  const lateness = metrics.histogram('sluice_cron_lateness_seconds', '')
  const of = (outcome: string): number => runs.with({ component: 'cron', schedule, outcome }).value
  return {
    done: of('done'),
    failed: of('failed'),
    skipped: of('skipped'),
    late: lateness.with({ component: 'cron', schedule }).count,
  }
}

test('in this process runs are counted by outcome, and how late they were', async () => {
  const clock = new ManualClock()
  await using open = await connectComponent(cron(), { clock })
  const held = Promise.withResolvers<void>()
  open.api.schedule('slow', '*/10 * * * * *', () => held.promise)
  open.api.schedule('bad', '@hourly', () => {
    throw new Error('no')
  })
  await clock.advance(30_000)
  held.resolve()
  await open.api.runNow('bad')
  await clock.advance(1)
  assert.deepEqual(countsOf(open.metrics, 'slow'), { done: 1, failed: 0, skipped: 2, late: 1 })
  assert.deepEqual(countsOf(open.metrics, 'bad'), { done: 0, failed: 1, skipped: 0, late: 0 })
})

test('in the cluster runs are counted by outcome, and how late they were by its clock', options, async () => {
  await using own = await durableDatabase()
  const held = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  await using node = await openNode(own.dsn, (api) => {
    api.schedule('slow', '@yearly', () => {
      started.resolve()
      return held.promise
    })
    api.schedule('bad', '@yearly', () => {
      throw new Error('no')
    })
  })
  // Answered behind the registration.
  await node.api.runNow('bad')
  const seen = (schedule: string, outcome: string): Promise<void> =>
    eventually(async () => (countsOf(node.metrics, schedule)[outcome] === 1 ? true : undefined)).then(
      () => {},
    )
  await seen('bad', 'failed')
  const dueNow = `update sluice.cron set next_at = clock_timestamp() - interval '10 s' where name = 'slow'`
  await node.db.execute(dueNow)
  await started.promise
  await node.db.execute(dueNow)
  await seen('slow', 'skipped')
  held.resolve()
  await seen('slow', 'done')
  assert.deepEqual(countsOf(node.metrics, 'slow'), { done: 1, failed: 0, skipped: 1, late: 1 })
  assert.deepEqual(countsOf(node.metrics, 'bad'), { done: 0, failed: 1, skipped: 0, late: 0 })
  const lateness = node.metrics.histogram('sluice_cron_lateness_seconds', '')
  assert.ok(lateness.with({ component: 'cron', schedule: 'slow' }).sum >= 10)
})
