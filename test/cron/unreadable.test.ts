/** A schedule that another process wrote and this one cannot read, as in a rolling deployment of a newer Node.js. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Expressions } from '../../src/cron/expressions.ts'
import { cronMetrics } from '../../src/cron/metrics.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { GaugeCell } from '../../src/telemetry/metric.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { Ledger, listeningLogger, openNode, watchedClock } from './cluster-support.ts'

const options = { timeout: 240_000 }
const UNKNOWN = `update sluice.cron set tz = 'Mars/Phobos' where name = 'broken'`

function count(): GaugeCell {
  return cronMetrics(createMetrics(), 'cron').unreadable
}

test(
  'a schedule that cannot be read stops itself alone, is told once, and named by the status',
  options,
  async () => {
    await using own = await durableDatabase()
    const ran = new Ledger()
    const errors = new Ledger()
    const log = listeningLogger('error', (text) => {
      if (text.includes('cannot be read')) errors.add(text)
    })
    await using node = await openNode(
      own.dsn,
      (api) => {
        for (const name of ['broken', 'sound'])
          api.schedule(name, '* * * * * *', () => ran.add(name), { missed: 'all', overlap: 'queue' })
      },
      { log },
    )
    await ran.until((lines) => lines.includes('broken') && lines.includes('sound'))
    await node.db.execute(UNKNOWN)
    await errors.until((lines) => lines.length > 0)
    const soundSoFar = ran.lines.filter((name) => name === 'sound').length
    await ran.until((lines) => lines.filter((name) => name === 'sound').length >= soundSoFar + 3)
    assert.equal(errors.lines.length, 1)
    assert.match(errors.lines[0] ?? '', /"broken"/)
    const [broken, sound] = await node.api.schedules()
    assert.match(broken?.problem ?? '', /schedule "broken": time zone "Mars\/Phobos" is not known/)
    assert.equal(sound?.problem, undefined)
    assert.match(JSON.stringify(node.api.status()), /Mars/)
    await node.check()

    // Written again by a process that knows better: it goes on with what was missed.
    const brokenSoFar = ran.lines.filter((name) => name === 'broken').length
    await node.db.execute(`update sluice.cron set tz = 'UTC' where name = 'broken'`)
    await ran.until((lines) => lines.filter((name) => name === 'broken').length > brokenSoFar)
    assert.equal((await node.api.schedules())[0]?.problem, undefined)
  },
)

test('a schedule that cannot be read and stays due does not keep its process awake', options, async () => {
  await using own = await durableDatabase()
  const waits = new Ledger()
  const errors = new Ledger()
  const log = listeningLogger('error', (text) => {
    if (text.includes('cannot be read')) errors.add(text)
  })
  const poll = 17_777
  const clock = watchedClock((ms) => {
    if (ms === poll) waits.add('for the poll')
    return true
  })
  await using node = await openNode(own.dsn, (api) => api.schedule('broken', '@yearly', () => {}), {
    log,
    clock,
    pollInterval: `${poll}ms`,
  })
  // Answered behind the registration; another run makes it look.
  await node.api.runNow('broken')
  await node.db.execute(
    `update sluice.cron set tz = 'Mars/Phobos', next_at = clock_timestamp() - interval '1 s' where name = 'broken'`,
  )
  await node.api.runNow('broken')
  await errors.until((lines) => lines.length > 0)
  const soFar = waits.lines.length
  await waits.until((lines) => lines.length > soFar)
})

test('what cannot be read is told again after a while, and at once when it was changed to something else', async () => {
  const clock = new ManualClock()
  const errors: string[] = []
  const log = listeningLogger('error', (text) => void errors.push(text))
  const expressions = new Expressions(clock, log, count())
  const read = (expression: string): unknown =>
    expressions.with({ name: 'report', expression, timezone: 'UTC' }, () => true)
  for (let i = 0; i < 100; i++) assert.equal(read('never'), undefined)
  assert.equal(errors.length, 1)
  assert.equal(read('at no time'), undefined)
  assert.equal(errors.length, 2)
  await clock.advance(599_000)
  read('at no time')
  assert.equal(errors.length, 2)
  await clock.advance(1_000)
  read('at no time')
  assert.equal(errors.length, 3)
  assert.match(expressions.problem('report') ?? '', /at no time/)
  assert.equal(read('@daily'), true)
  assert.equal(expressions.problem('report'), undefined)
})

test('a problem is known before the schedule is due, and forgotten with it', () => {
  const cell = count()
  const expressions = new Expressions(new ManualClock(), silentLogger, cell)
  assert.equal(cell.value, 0)
  const report = { name: 'report', expression: '@daily', timezone: 'Mars/Phobos' }
  expressions.look(report)
  assert.deepEqual([...expressions.unreadable], ['report'])
  assert.equal(cell.value, 1)
  expressions.look({ ...report, timezone: 'UTC' })
  assert.deepEqual([...expressions.unreadable], [])
  expressions.look(report)
  expressions.keepOnly(['other'])
  assert.deepEqual([...expressions.unreadable], [])
  assert.equal(cell.value, 0)
})
