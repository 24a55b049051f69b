import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { test } from 'node:test'
import { createBackground, type Background, type BackgroundOptions } from '../../src/pool/background.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const boom = new Error('boom')

function make(options: BackgroundOptions = {}): {
  background: Background
  clock: ManualClock
  errors: string[]
} {
  const clock = new ManualClock()
  const errors: string[] = []
  const background = createBackground({
    clock,
    onError: (error, work) => void errors.push(`${work}: ${error.message}`),
    ...options,
  })
  return { background, clock, errors }
}

test('work runs beside its caller, in its async context, and its failure reaches onError alone', async () => {
  const { background, errors } = make()
  const context = new AsyncLocalStorage<string>()
  const seen: (string | undefined)[] = []
  context.run('request 7', () => {
    assert.equal(
      background.run('cache.invalidate', async () => {
        await Promise.resolve()
        seen.push(context.getStore())
      }),
      true,
    )
    background.run('mail', () => Promise.reject(boom))
    background.run('mail', () => {
      throw boom
    })
  })
  await background.drain()
  assert.deepEqual([seen, errors], [['request 7'], ['mail: boom', 'mail: boom']])
  assert.deepEqual([background.stats().completed, background.stats().failed], [1, 2])
})

test('an onError that throws breaks nothing', async () => {
  const { background } = make({
    onError: () => {
      throw boom
    },
  })
  background.run('mail', () => Promise.reject(boom))
  await background.drain()
  assert.equal(background.running, 0)
})

test('work that takes longer than its timeout is aborted and reported by name', async () => {
  const { background, clock, errors } = make({ timeout: '30s' })
  const reasons: unknown[] = []
  const obedient = (call: { readonly signal: AbortSignal }): Promise<void> =>
    new Promise((_resolve, reject) =>
      call.signal.addEventListener('abort', () => {
        reasons.push(call.signal.reason)
        reject(boom)
      }),
    )
  background.run('report', obedient, { timeout: '2s' })
  background.run('index', obedient)
  await clock.advance(2_000)
  assert.deepEqual(errors, ['report: "background: report" timed out after 2000 ms while it ran'])
  await clock.advance(28_000)
  assert.equal(errors.length, 2)
  assert.deepEqual([reasons.length, background.running], [2, 0])
})

test('what does not fit is refused and reported', async () => {
  const { background, errors } = make({ workers: 1, maxWaiting: 1 })
  const { promise, resolve } = Promise.withResolvers<void>()
  assert.deepEqual(
    [background.run('a', () => promise), background.run('b', () => {}), background.run('c', () => {})],
    [true, true, false],
  )
  assert.deepEqual([background.running, background.waiting], [1, 1])
  resolve()
  await background.drain()
  assert.deepEqual(errors, ['c: "background: c" was refused: 1 tasks run and 1 wait already'])
})

test('close finishes what waits too, then takes nothing more', async () => {
  const { background, errors } = make({ workers: 1 })
  const { promise, resolve } = Promise.withResolvers<void>()
  const done: string[] = []
  background.run('first', () => promise)
  background.run('second', () => void done.push('second'))
  const closing = background.close()
  assert.equal(
    background.run('late', () => void done.push('late')),
    false,
  )
  resolve()
  await closing
  assert.deepEqual(
    [done, errors],
    [['second'], ['late: "background: late" was refused: the app is shutting down']],
  )
})

test('close that runs out of time aborts and reports what is left, each by name', async () => {
  const { background, clock, errors } = make({ workers: 1, timeout: '1h' })
  let signal: AbortSignal | undefined
  background.run('stuck', (call) => {
    signal = call.signal
    return new Promise(() => {})
  })
  background.run('waiting', () => assert.fail('it must not run'))
  const closing = assert.rejects(background.close({ timeout: '3s' }), {
    code: 'SLUICE_TIMEOUT',
    message: '"background: close" timed out after 3000 ms with 1 tasks running',
  })
  await clock.advance(3_000)
  await closing
  assert.equal(signal?.aborted, true)
  assert.deepEqual(errors.toSorted(), [
    'stuck: "background" was closed: it takes no more tasks',
    'waiting: "background" was closed: it takes no more tasks',
  ])
})

test('the trace hook is called by the caller and runs the work', async () => {
  const calls: string[] = []
  const { background } = make({
    trace: (work) => {
      calls.push(`linked ${work}`)
      return (body) => {
        calls.push('in the span')
        return body()
      }
    },
  })
  background.run('mail', () => void calls.push('work'))
  await background.drain()
  assert.deepEqual(calls, ['linked mail', 'in the span', 'work'])
})

test('bad options are refused when it is made', () => {
  assert.throws(() => createBackground({ timeout: 'soon' }), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: `background: timeout: expected milliseconds or a duration such as '5s', got "soon"`,
  })
  assert.throws(() => createBackground({ workers: 0 }), { code: 'SLUICE_INVALID_ARGUMENT' })
})
