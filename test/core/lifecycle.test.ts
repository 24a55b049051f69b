import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SluiceError } from '../../src/core/errors.ts'
import { Lifecycle, type LifecycleOptions } from '../../src/core/lifecycle.ts'

const boom = new Error('boom')

function recorded(options: Partial<LifecycleOptions> = {}): { lifecycle: Lifecycle; log: string[] } {
  const log: string[] = []
  const lifecycle = new Lifecycle({
    name: 'relay',
    start: () => void log.push('start'),
    stop: () => void log.push('stop'),
    onError: (error, what) => void log.push(`${what}: ${error.message}`),
    ...options,
  })
  return { lifecycle, log }
}

test('start and stop run once, however often they are called', async () => {
  const { lifecycle, log } = recorded()
  assert.equal(lifecycle.state, 'idle')
  const [first, second] = [lifecycle.start(), lifecycle.start()]
  assert.equal(first, second)
  await first
  assert.equal(lifecycle.state, 'running')
  const stops = [lifecycle.stop(), lifecycle.stop()]
  assert.equal(lifecycle.state, 'stopping')
  await Promise.all(stops)
  assert.equal(lifecycle.state, 'stopped')
  assert.deepEqual(log, ['start', 'stop'])
})

test('stop before start runs nothing, and start after stop rejects with SLUICE_CLOSED', async () => {
  const { lifecycle, log } = recorded()
  await lifecycle.stop()
  await assert.rejects(lifecycle.start(), { code: 'SLUICE_CLOSED', message: /"?relay"? was stopped/ })
  assert.deepEqual(log, [])
})

test('a start that failed may be tried again, with a fresh signal', async () => {
  let attempt = 0
  const signals: AbortSignal[] = []
  const { lifecycle } = recorded({
    start: (signal) => {
      signals.push(signal)
      if (++attempt === 1) throw boom
    },
  })
  await assert.rejects(lifecycle.start(), boom)
  assert.equal(lifecycle.state, 'idle')
  await lifecycle.start()
  assert.equal(lifecycle.state, 'running')
  assert.deepEqual([signals[0]?.aborted, signals[1]?.aborted], [true, false])
})

test('stop during start aborts the start, waits for it, and takes down what came up all the same', async () => {
  const up = Promise.withResolvers<void>()
  const { lifecycle, log } = recorded({ start: () => up.promise })
  const starting = assert.rejects(lifecycle.start(), { code: 'SLUICE_CLOSED' })
  const stopping = lifecycle.stop()
  assert.equal(lifecycle.signal.aborted, true)
  assert.deepEqual(log, [], 'the stop function waits for the start')
  up.resolve()
  await Promise.all([starting, stopping])
  assert.deepEqual([log, lifecycle.state], [['stop'], 'stopped'])
})

test('stop during a start that obeys its signal runs no stop function', async () => {
  const { lifecycle, log } = recorded({
    start: (signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error)),
      ),
  })
  const starting = assert.rejects(lifecycle.start(), { code: 'SLUICE_SHUTDOWN' })
  await lifecycle.stop()
  await starting
  assert.deepEqual([log, lifecycle.state], [[], 'stopped'])
})

test('a stop that fails rejects, and is over', async () => {
  const { lifecycle } = recorded({ stop: () => Promise.reject(boom) })
  await lifecycle.start()
  await assert.rejects(lifecycle.stop(), boom)
  assert.equal(lifecycle.state, 'stopped')
})

test('spawned work: its failure is reported, stop waits for it, and the stop itself is no failure', async () => {
  const { lifecycle, log } = recorded()
  await lifecycle.start()
  lifecycle.spawn('loop', Promise.reject(boom))
  const { signal } = lifecycle
  lifecycle.spawn(
    'watcher',
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
  )
  const last = Promise.withResolvers<void>()
  lifecycle.spawn('flush', last.promise)
  const stopping = lifecycle.stop()
  last.resolve()
  await stopping
  assert.deepEqual(log, ['start', 'loop: boom', 'stop'])
})

test('work spawned while stopping is waited for too', async () => {
  const done: string[] = []
  const late = Promise.withResolvers<void>()
  const { lifecycle } = recorded({
    stop: () => {
      lifecycle.spawn(
        'first',
        Promise.resolve().then(() => lifecycle.spawn('second', late.promise)),
      )
    },
  })
  await lifecycle.start()
  const stopping = lifecycle.stop().then(() => done.push('stopped'))
  setImmediate(() => {
    done.push('second')
    late.resolve()
  })
  await stopping
  assert.deepEqual(done, ['second', 'stopped'])
})

test('an error handler that throws does not break the stop', async () => {
  const { lifecycle } = recorded({
    onError: () => {
      throw boom
    },
  })
  await lifecycle.start()
  lifecycle.spawn('loop', Promise.reject(new SluiceError('SLUICE_INTERNAL', 'x')))
  await lifecycle.stop()
  assert.equal(lifecycle.state, 'stopped')
})
