import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failureLog, NamedLogLimits } from '../../src/telemetry/log-limit.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { recordingLogger, type RecordedLine } from './recording-logger.ts'

test('each name has one line in an interval, and the next one says how many were left out', async () => {
  const clock = new ManualClock()
  const limits = new NamedLogLimits(clock, 60_000)
  assert.deepEqual(
    [limits.take('a'), limits.take('a'), limits.take('a'), limits.take('b')],
    [0, undefined, undefined, 0],
  )
  await clock.advance(59_999)
  assert.equal(limits.take('a'), undefined)
  await clock.advance(1)
  assert.deepEqual([limits.take('a'), limits.take('b')], [3, 0])
})

test('names without end share one limit beyond the first thousand', () => {
  const limits = new NamedLogLimits(new ManualClock(), 60_000)
  const told = Array.from({ length: 5_000 }, (_, id) => limits.take(`work ${id}`)).filter(
    (left) => left !== undefined,
  )
  assert.equal(told.length, 1_001)
  assert.equal(limits.take('work 0'), undefined)
})

test('a failure that comes again and again is a line a minute, with the number left out', async () => {
  const clock = new ManualClock()
  const lines: RecordedLine[] = []
  const tell = failureLog(recordingLogger(lines), clock)
  for (let second = 0; second < 180; second++) {
    tell('mail', { err: new Error(`second ${second}`), work: 'mail' }, 'it failed')
    await clock.advance(1_000)
  }
  assert.deepEqual(
    lines.map(({ level, message, work, err, suppressed }) => [
      level,
      message,
      work,
      (err as Error).message,
      suppressed,
    ]),
    [
      ['error', 'it failed', 'mail', 'second 0', 0],
      ['error', 'it failed', 'mail', 'second 60', 59],
      ['error', 'it failed', 'mail', 'second 120', 59],
    ],
  )
})
