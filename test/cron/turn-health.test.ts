/** Looks at the schedules that fail again and again: warned of, counted, and a reason for the check to fail. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TurnHealth } from '../../src/cron/turn-health.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { eventually } from '../support/eventually.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { Ledger, listeningLogger, openNode } from './cluster-support.ts'

const options = { timeout: 240_000 }
const POLL_MS = 2_000

test('three looks in a row that failed are warned of, and once a minute after that', async () => {
  const clock = new ManualClock()
  const warnings: string[] = []
  const health = new TurnHealth(
    clock,
    listeningLogger('warn', (text) => void warnings.push(text)),
    POLL_MS,
  )
  const fail = (times: number): void => {
    for (let i = 0; i < times; i++) health.failed(new Error('away'))
  }
  fail(2)
  health.succeeded()
  fail(2)
  assert.equal(warnings.length, 0)
  fail(1)
  assert.match(warnings[0] ?? '', /^3 looks at the schedules in a row failed/)
  await clock.advance(59_000)
  fail(20)
  assert.equal(warnings.length, 1)
  await clock.advance(1_000)
  fail(1)
  assert.equal(warnings.length, 2)
})

test('the check fails when five looks in a row failed, until one succeeds', () => {
  const health = new TurnHealth(new ManualClock(), silentLogger, POLL_MS)
  for (let i = 0; i < 4; i++) health.failed(new Error('away'))
  health.check()
  health.failed(new Error('away'))
  assert.throws(() => health.check(), {
    code: 'SLUICE_UNAVAILABLE',
    retryable: true,
    cause: new Error('away'),
  })
  health.succeeded()
  health.check()
})

for (const [pollMs, silenceMs] of [
  [2_000, 30_000],
  [30_000, 150_000],
] as const) {
  test(`with a poll of ${pollMs} ms the check fails ${silenceMs} ms after the last look that succeeded`, async () => {
    const clock = new ManualClock()
    const health = new TurnHealth(clock, silentLogger, pollMs)
    await clock.advance(silenceMs)
    health.check()
    await clock.advance(1)
    assert.throws(() => health.check(), { code: 'SLUICE_UNAVAILABLE' })
    health.succeeded()
    health.check()
  })
}

test(
  'schedules that cannot be looked at are warned of and make the check fail; afterwards all is well',
  options,
  async () => {
    await using own = await durableDatabase()
    const warnings = new Ledger()
    const log = listeningLogger('warn', (text) => warnings.add(text))
    await using node = await openNode(own.dsn, (api) => api.schedule('work', '@yearly', () => {}), {
      log,
      pollInterval: '100ms',
    })
    await node.check()
    await node.db.execute('alter table sluice.cron rename to cron_away')
    await warnings.until((lines) =>
      lines.some((line) => line.includes('looks at the schedules in a row failed')),
    )
    const checked = (): Promise<string> =>
      node.check().then(
        () => 'well',
        (error: { code: string }) => error.code,
      )
    await eventually(async () => ((await checked()) === 'SLUICE_UNAVAILABLE' ? true : undefined))
    const failed = node.metrics.counter('sluice_cron_turns_failed_total', '').with({ component: 'cron' })
    assert.ok(failed.value >= 5)
    await node.db.execute('alter table sluice.cron_away rename to cron')
    await eventually(async () => ((await checked()) === 'well' ? true : undefined))
  },
)
