/** Durations, clocks and aborts: small, and everything waits on them. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { mock, test } from 'node:test'
import fc from 'fast-check'
import { deriveController, onAbort, waitOrAbort } from '../../src/core/abort.ts'
import { systemClock } from '../../src/core/clock.ts'
import { durationMs, formatDuration, parseDuration } from '../../src/core/duration.ts'
import { toError } from '../../src/core/errors.ts'
import { LazySignal } from '../../src/core/lazy-signal.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const boom = new Error('boom')

test('durations are numbers of milliseconds, or numbers with units that add up', () => {
  const table: [string | number, number][] = [
    [0, 0],
    [1500, 1500],
    ['1500', 1500],
    ['250ms', 250],
    [' 5 s ', 5_000],
    ['1.5m', 90_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
  ]
  for (const [given, ms] of table) assert.equal(parseDuration(given), ms, String(given))
  assert.equal(parseDuration('10', 's'), 10_000)
  assert.equal(parseDuration('10ms', 's'), 10, 'a unit wins over the bare one')
})

test('what is no duration is refused, and never becomes NaN or endless', () => {
  const no = [
    '',
    ' ',
    'soon',
    '5 parsecs',
    '-1s',
    '1s?',
    '5S',
    '1e3',
    '1h30',
    'Infinity',
    '9'.repeat(400),
    `${'9'.repeat(310)}d`,
  ]
  for (const given of [...no, NaN, -1, Infinity, Number.MAX_VALUE * 2])
    assert.equal(parseDuration(given), undefined, String(given))
  assert.throws(() => durationMs('soon', 'timeout'), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: `timeout: expected milliseconds or a duration such as '5s', got "soon"`,
  })
})

test('any text is a finite duration or none', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const ms = parseDuration(text)
      assert.ok(ms === undefined || (Number.isFinite(ms) && ms >= 0))
    }),
  )
})

test('durations are shown to people in one unit', () => {
  assert.deepEqual([0, 999, 1_500, 90_000, 5_400_000].map(formatDuration), [
    '0ms',
    '999ms',
    '1.5s',
    '1.5m',
    '1.5h',
  ])
})

test('a timer of the system clock fires once, and not after it was cancelled', async () => {
  const fired: string[] = []
  const gone = systemClock.setTimer(() => fired.push('gone'), 0)
  gone.cancel()
  gone.cancel()
  await new Promise<void>((resolve) => systemClock.setTimer(resolve, 1))
  assert.deepEqual(fired, [])
})

test('a timer of more than 24.8 days is not cut short', () => {
  const days = 24 * 60 * 60 * 1000
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const fired: string[] = []
    systemClock.setTimer(() => fired.push('month'), 30 * days)
    const gone = systemClock.setTimer(() => fired.push('gone'), 60 * days)
    const most = 2 ** 31 - 1
    mock.timers.tick(most)
    gone.cancel()
    mock.timers.tick(30 * days - most - 1)
    assert.deepEqual(fired, [])
    mock.timers.tick(1)
    assert.deepEqual(fired, ['month'])
    mock.timers.tick(60 * days)
    assert.deepEqual(fired, ['month'])
  } finally {
    mock.timers.reset()
  }
})

test('sleep ends at its abort with the reason itself, and leaves neither timer nor listener', async () => {
  const clock = new ManualClock()
  const controller = new AbortController()
  const sleeping = clock.sleep(1_000, { signal: controller.signal })
  controller.abort(boom)
  await assert.rejects(sleeping, (error) => error === boom)
  assert.equal(clock.pending, 0)
  await assert.rejects(clock.sleep(1, { signal: controller.signal }), (error) => error === boom)

  const quiet = new AbortController()
  const full = clock.sleep(10, { signal: quiet.signal })
  await clock.advance(10)
  await full
  assert.equal(getEventListeners(quiet.signal, 'abort').length, 0)
})

test('a manual clock fires timers in the order of their time, those of one time in the order of their making', async () => {
  const clock = new ManualClock(1_000)
  const fired: string[] = []
  const note = (what: string): void => void fired.push(`${what} at ${clock.monotonic()}`)
  clock.setTimer(() => note('c'), 20)
  clock.setTimer(() => {
    note('a')
    clock.setTimer(() => note('b'), 5)
  }, 10)
  clock.setTimer(() => note('d'), 20)
  await clock.advance(20)
  assert.deepEqual(fired, ['a at 10', 'b at 15', 'c at 20', 'd at 20'])
  assert.equal(clock.now(), 1_020)
})

test('a jump of the wall clock moves no timer', async () => {
  const clock = new ManualClock(0)
  let fired = false
  clock.setTimer(() => (fired = true), 1_000)
  clock.jump(3_600_000)
  await clock.advance(999)
  assert.deepEqual([fired, clock.monotonic(), clock.now()], [false, 999, 3_600_999])
  clock.jump(-7_200_000)
  await clock.advance(1)
  assert.ok(fired)
})

test('waitOrAbort cancels the wait, not the work', async () => {
  const controller = new AbortController()
  const work = Promise.withResolvers<number>()
  const waiting = waitOrAbort(work.promise, controller.signal)
  controller.abort(boom)
  await assert.rejects(waiting, (error) => error === boom)
  work.reject(new Error('too late to matter, and not unhandled'))
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(await waitOrAbort(Promise.resolve(1), undefined), 1)
})

test('a long-lived signal keeps no listener of calls that are over', async () => {
  const { signal } = new AbortController()
  for (let i = 0; i < 100; i += 1) {
    await waitOrAbort(Promise.resolve(i), signal)
    deriveController(signal, undefined).release()
    onAbort(signal, () => {})()
  }
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('a derived controller aborts with any of its signals, and on its own', () => {
  const [a, b] = [new AbortController(), new AbortController()]
  const derived = deriveController(a.signal, b.signal)
  b.abort(boom)
  assert.equal(derived.controller.signal.reason, boom)
  assert.equal(deriveController(b.signal).controller.signal.reason, boom, 'also when it has aborted before')
})

test('a lazy signal keeps its first reason, looked at before or after', () => {
  const lazy = new LazySignal()
  assert.equal(lazy.aborted, false)
  lazy.abort(boom)
  lazy.abort(new Error('second'))
  assert.deepEqual([lazy.aborted, lazy.signal.reason], [true, boom])
  const looked = new LazySignal()
  const { signal } = looked
  looked.abort(boom)
  assert.equal(signal.reason, boom)
})

test('anything thrown becomes an Error, also what cannot be turned into text', () => {
  assert.equal(toError(boom), boom)
  assert.equal(toError('text').message, 'non-error thrown: text')
  const hostile = Object.create(null) as object
  assert.deepEqual([toError(hostile).message, toError(hostile).cause], ['non-error thrown: object', hostile])
})
