import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Component, ComponentBase } from '../../src/app/component.ts'
import type { Phase } from '../../src/app/phase.ts'
import { reconnectDelayMs } from '../../src/app/reconnect.ts'
import { ComponentRunner } from '../../src/app/runner.ts'
import type { RunnerOptions } from '../../src/app/runner-options.ts'
import { hasCode } from '../../src/core/errors.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { settledHeap } from '../faults/support/heap.ts'

const forever = (): Promise<void> => new Promise(() => {})
const done = (): Promise<void> => Promise.resolve()
const refused = (): Promise<void> => Promise.reject(new Error('connect ECONNREFUSED'))

/** A component whose three verbs the test sets, with what was asked of it. */
class Part implements Component<ComponentBase> {
  readonly api = {} as ComponentBase
  readonly calls: string[] = []
  onConnect: (signal: AbortSignal) => Promise<void> = done
  onCheck: (signal: AbortSignal) => Promise<void> = done
  onClose: (signal: AbortSignal) => Promise<void> = done
  connecting = 0
  mostConnecting = 0

  async connect(signal: AbortSignal): Promise<void> {
    this.calls.push('connect')
    this.mostConnecting = Math.max(this.mostConnecting, ++this.connecting)
    try {
      await this.onConnect(signal)
    } finally {
      this.connecting--
    }
  }
  check(signal: AbortSignal): Promise<void> {
    this.calls.push('check')
    return this.onCheck(signal)
  }
  close(signal: AbortSignal): Promise<void> {
    this.calls.push('close')
    return this.onClose(signal)
  }
  inspect(): Record<string, never> {
    return {}
  }
}

function setUp(options: Partial<RunnerOptions> = {}) {
  const clock = new ManualClock()
  const part = new Part()
  const states: string[] = []
  const runner = new ComponentRunner({
    name: 'db',
    component: part,
    dependsOn: [],
    dependenciesReady: done,
    connectTimeoutMs: 1_000,
    checks: { intervalMs: 5_000, timeoutMs: 2_000, downAfter: 3, upAfter: 2 },
    clock,
    random: () => 0.5,
    onPhase: (phase: Phase) => states.push(phase.state),
    ...options,
  })
  return { clock, part, runner, states }
}

test('a component that is absent is tried again and again, and is ready within five seconds of its return', async () => {
  const { clock, part, runner } = setUp()
  part.onConnect = refused
  runner.start()
  await clock.advance(30_000)
  assert.equal(runner.phase.state, 'failed')
  assert.equal(runner.connected, false)
  part.onConnect = done
  await clock.advance(5_000)
  assert.equal(runner.phase.state, 'ready')
  await runner.firstReady
  await runner.close(AbortSignal.timeout(1_000))
})

test('a component that never appears is tried at a falling rate, at most every thirty seconds in the end', async () => {
  const { clock, part, runner } = setUp({ random: () => 1 })
  part.onConnect = refused
  runner.start()
  await clock.advance(3_600_000)
  const before = part.calls.length
  assert.ok(before > 100 && before < 200, `${before} attempts in an hour`)
  await clock.advance(300_000)
  assert.equal(part.calls.length - before, 10)
  await runner.close(AbortSignal.timeout(1_000))
})

test('the wait before an attempt grows to its cap, and half of it is random', () => {
  const none = (attempt: number): number => reconnectDelayMs(attempt, () => 0)
  const all = (attempt: number): number => reconnectDelayMs(attempt, () => 1)
  assert.deepEqual([1, 2, 3, 4, 5, 6, 30].map(all), [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000])
  assert.deepEqual([31, 32, 33, 1_000, 1e9].map(all), [8_000, 16_000, 30_000, 30_000, 30_000])
  for (const attempt of [1, 10, 31, 1_000]) assert.equal(none(attempt) * 2, all(attempt))
})

test('an attempt ends at its deadline, and the next one waits until the component has settled', async () => {
  const { clock, part, runner } = setUp()
  const settle = Promise.withResolvers<void>()
  part.onConnect = (signal) => settle.promise.then(() => signal.throwIfAborted())
  runner.start()
  await clock.advance(60_000)
  assert.deepEqual(part.calls, ['connect'])
  assert.equal(runner.phase.state, 'failed')
  assert.ok(runner.phase.state === 'failed' && hasCode(runner.phase.error, 'SLUICE_TIMEOUT'))
  settle.resolve()
  part.onConnect = done
  await clock.advance(1_000)
  assert.equal(runner.phase.state, 'ready')
  assert.equal(part.mostConnecting, 1)
  await runner.close(AbortSignal.timeout(1_000))
})

test('a component is down after three failed checks, and up after two good ones', async () => {
  const { clock, part, runner } = setUp()
  runner.start()
  await clock.advance(0)
  part.onCheck = () => Promise.reject(new Error('no answer'))
  await clock.advance(5_000)
  assert.equal(runner.up, true, 'one failure says nothing')
  await clock.advance(1_000)
  assert.equal(runner.up, true)
  await clock.advance(1_000)
  assert.equal(runner.up, false)
  assert.equal(runner.phase.state, 'degraded')
  assert.equal(
    runner.connected,
    true,
    'operations are still tried: they have deadlines and a breaker of their own',
  )
  part.onCheck = done
  await clock.advance(1_000)
  assert.equal(runner.up, false, 'one success says nothing either')
  await clock.advance(1_000)
  assert.equal(runner.up, true)
  assert.equal(runner.phase.state, 'ready')
  await runner.close(AbortSignal.timeout(1_000))
})

test('a check that never settles counts as failed at each deadline, and is never run twice at once', async () => {
  const { clock, part, runner } = setUp()
  runner.start()
  await clock.advance(0)
  part.onCheck = forever
  await clock.advance(5_000 + 2_000 + 1_000 + 2_000 + 1_000 + 2_000)
  assert.equal(runner.up, false)
  assert.deepEqual(part.calls, ['connect', 'check'])
  await runner.close(AbortSignal.timeout(1_000))
})

test('a lost connection is made again at once, and operations are refused until then', async () => {
  const { clock, part, runner, states } = setUp()
  runner.start()
  await clock.advance(0)
  const again = Promise.withResolvers<void>()
  part.onConnect = () => again.promise
  runner.lost(new Error('reset'))
  await clock.advance(250)
  assert.equal(runner.connected, false)
  assert.equal(runner.phase.state, 'degraded')
  assert.equal(runner.up, true, 'one loss is no verdict')
  again.resolve()
  await clock.advance(0)
  assert.equal(runner.connected, true)
  assert.deepEqual(states, ['connecting', 'ready', 'degraded', 'ready'])
  await runner.close(AbortSignal.timeout(1_000))
})

test('a server that is up and down each second for ten minutes changes the verdict at most six times', async () => {
  const { clock, part, runner } = setUp()
  runner.start()
  await clock.advance(0)
  let flips = 0
  let verdict = runner.up
  for (let second = 0; second < 600; second++) {
    const isUp = second % 2 === 1
    part.onConnect = isUp ? done : refused
    part.onCheck = isUp ? done : refused
    if (!isUp) runner.lost(new Error('reset'))
    for (let step = 0; step < 10; step++) {
      await clock.advance(100)
      if (runner.up !== verdict) flips++
      verdict = runner.up
    }
  }
  assert.ok(flips <= 6, `${flips} flips`)
  await runner.close(AbortSignal.timeout(1_000))
})

test('close ends a connect that hangs, and still closes the component', async () => {
  const { clock, part, runner } = setUp()
  part.onConnect = (signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  runner.start()
  await clock.advance(10)
  await runner.close(AbortSignal.timeout(1_000))
  assert.deepEqual(part.calls, ['connect', 'close'])
  assert.equal(runner.phase.state, 'closed')
  await assert.rejects(runner.firstReady, (error) => hasCode(error, 'SLUICE_SHUTDOWN'))
  await clock.advance(100_000)
  assert.deepEqual(part.calls, ['connect', 'close'], 'nothing goes on after close')
  assert.equal(clock.pending, 0)
})

test('close gives up on a component that does not settle when its deadline passes', async () => {
  const { clock, part, runner } = setUp()
  runner.start()
  await clock.advance(0)
  part.onClose = forever
  const deadline = new AbortController()
  const closing = runner.close(deadline.signal)
  deadline.abort(new Error('too late'))
  await assert.rejects(closing, /too late/)
  assert.equal(runner.phase.state, 'closed')
})

test('close before the first connect closes the component without connecting it', async () => {
  const { part, runner } = setUp()
  await runner.close(AbortSignal.timeout(1_000))
  runner.start()
  assert.deepEqual(part.calls, ['close'])
})

test('a connection that is lost while connect still answers is made again, and never counts as ready', async () => {
  const { clock, part, runner, states } = setUp()
  part.onConnect = () => {
    runner.lost(new Error('reset at once'))
    return Promise.resolve()
  }
  runner.start()
  await clock.advance(0)
  assert.equal(runner.connected, false)
  assert.ok(runner.phase.state === 'failed' && runner.phase.error.message === 'reset at once')
  part.onConnect = done
  await clock.advance(1_000)
  assert.equal(runner.connected, true)
  assert.deepEqual(part.calls, ['connect', 'connect'])
  assert.deepEqual(states, ['connecting', 'failed', 'connecting', 'ready'])
  await runner.close(AbortSignal.timeout(1_000))
})

test('a loss ends the check under way, whose late success does not make the component ready', async () => {
  const { clock, part, runner } = setUp()
  runner.start()
  await clock.advance(0)
  const answer = Promise.withResolvers<void>()
  let checked: AbortSignal | undefined
  part.onCheck = (signal) => {
    checked = signal
    return answer.promise
  }
  await clock.advance(5_000)
  part.onConnect = forever
  runner.lost(new Error('reset'))
  answer.resolve()
  await clock.advance(250)
  assert.equal(checked?.aborted, true)
  assert.equal(runner.phase.state, 'degraded')
  void runner.close(AbortSignal.abort()).catch(() => {})
})

test('twenty thousand checks of one connection leave nothing behind', async () => {
  const { clock, part, runner } = setUp()
  runner.start()
  await clock.advance(6_000)
  const checks = async (count: number): Promise<number> => {
    const until = part.calls.length + count
    while (part.calls.length < until) await clock.advance(5_500)
    part.calls.length = 0
    return settledHeap()
  }
  const before = await checks(2_000)
  const grown = (await checks(20_000)) - before
  assert.ok(grown < 20_000 * 100, `${Math.round(grown / 20_000)} bytes a check`)
  await runner.close(AbortSignal.timeout(1_000))
})
