/** An outage makes everything fail at once: what reaches no caller is told, and not as often as it happens. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import { unawaitedFailures } from '../../src/app/unawaited.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { recordingLogger, type RecordedLine } from '../telemetry/recording-logger.ts'
import { fake } from './fake-component.ts'

const base = { name: 'demo', port: 0, host: '127.0.0.1', env: {} } as const
const no = () => Promise.reject(new Error('no'))

/** Message and number left out of each line that says that something failed. */
const told = (lines: readonly RecordedLine[]) =>
  lines.filter(({ level }) => level === 'error').map(({ message, suppressed }) => [message, suppressed])

test('background work that fails is told once a minute by its name, with the number left out', async () => {
  const clock = new ManualClock()
  const lines: RecordedLine[] = []
  await using app = createApp({ ...base, clock, logger: recordingLogger(lines) })
  for (let minute = 0; minute < 2; minute++) {
    for (let at = 0; at < 50; at++) {
      app.background.run('mail', no)
      app.background.run('search', no)
    }
    await app.background.drain()
    await clock.advance(60_000)
  }
  assert.deepEqual(told(lines), [
    ['background work mail failed', 0],
    ['background work search failed', 0],
    ['background work mail failed', 49],
    ['background work search failed', 49],
  ])
})

test('tasks of the pools that fail are told once a minute for each pool', async () => {
  const clock = new ManualClock()
  const lines: RecordedLine[] = []
  await using app = createApp({
    ...base,
    clock,
    logger: recordingLogger(lines),
    components: { db: fake('db').definition },
  })
  await app.start()
  for (let minute = 0; minute < 2; minute++) {
    for (let at = 0; at < 50; at++) app.pool.post(no)
    await app.pool.drain()
    await clock.advance(60_000)
  }
  assert.deepEqual(told(lines), [
    ['a task in the pool of the app failed', 0],
    ['a task in the pool of the app failed', 49],
  ])
})

test('an operation that nobody awaits and that goes on failing is told once a minute, and counted each time', async () => {
  const clock = new ManualClock()
  const lines: RecordedLine[] = []
  const metrics = createMetrics()
  const failed = unawaitedFailures({ log: recordingLogger(lines), clock, metrics })
  for (let second = 0; second < 90; second++) {
    failed('cache: set', new Error('no'))
    failed('db: query', new Error('no'))
    await clock.advance(1_000)
  }
  assert.deepEqual(told(lines), [
    ['nobody awaited "cache: set", and it failed', 0],
    ['nobody awaited "db: query", and it failed', 0],
    ['nobody awaited "cache: set", and it failed', 59],
    ['nobody awaited "db: query", and it failed', 59],
  ])
  assert.match(metrics.expose(), /^sluice_unawaited_failures_total\{operation="cache: set"\} 90$/m)
})
