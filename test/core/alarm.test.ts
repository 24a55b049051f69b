import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Alarm } from '../../src/core/alarm.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

leakCheck()

test('a wait ends when its time is over, and not before', async () => {
  const clock = new ManualClock()
  const alarm = new Alarm(clock)
  let isOver = false
  const waiting = alarm.wait(1_000).then(() => (isOver = true))
  await clock.advance(999)
  assert.equal(isOver, false)
  await clock.advance(1)
  await waiting
})

test('a ring ends the wait and takes its timer along; one that nobody heard ends the next wait', async () => {
  const clock = new ManualClock()
  const alarm = new Alarm(clock)
  const waiting = alarm.wait(1_000)
  alarm.ring()
  alarm.ring()
  await waiting
  assert.equal(clock.pending, 0)
  alarm.ring()
  await alarm.wait(1_000)
  let isOver = false
  const next = alarm.wait(1_000).then(() => (isOver = true))
  await clock.advance(999)
  assert.equal(isOver, false, 'a ring counts once')
  await clock.advance(1)
  await next
})

test('an abort ends the wait without an error, also one that came before', async () => {
  const clock = new ManualClock()
  const alarm = new Alarm(clock)
  const stop = new AbortController()
  const waiting = alarm.wait(1_000, stop.signal)
  stop.abort()
  await waiting
  await alarm.wait(1_000, stop.signal)
  assert.equal(clock.pending, 0)
})
