import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Breaker, REFUSED } from '../../src/policy/breaker.ts'
import { watchSink } from '../../src/replicator/sink-watch.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const TIMEOUT_MS = 30_000

/** A sink whose looks and batches do as they are told; a batch is tried whenever the breaker lets it. */
function setup() {
  const clock = new ManualClock()
  const breaker = new Breaker({
    name: 'sink',
    clock,
    consecutive: 1,
    window: false,
    resetMs: TIMEOUT_MS,
    isFailure: () => true,
  })
  const sink = { answers: false as boolean | 'never', takes: false }
  const looks: number[] = []
  const probes: number[] = []
  const probe = (): void => {
    const generation = breaker.enter()
    if (generation === REFUSED) return
    probes.push(clock.monotonic())
    if (sink.takes) breaker.succeeded(generation)
    else breaker.failed(generation, new Error('refused'))
  }
  breaker.failed(breaker.enter(), new Error('gone'))
  const ended = new AbortController()
  const watching = watchSink(
    {
      clock,
      random: () => 0.999,
      breaker,
      check: () => {
        looks.push(clock.monotonic())
        if (sink.answers === 'never') return new Promise(() => {})
        return sink.answers ? Promise.resolve() : Promise.reject(new Error('gone'))
      },
      onBack: probe,
      timeoutMs: TIMEOUT_MS,
    },
    ended.signal,
  )
  return { clock, breaker, sink, looks, probes, watching, ended }
}

test('a sink that is back is noticed within two seconds, with one batch, and not only after the timeout', async () => {
  const { clock, breaker, sink, looks, probes, watching } = setup()
  await clock.advance(20_000)
  assert.ok(looks.length >= 10, `${looks.length} looks`)
  assert.deepEqual(probes, [])
  sink.answers = sink.takes = true
  await clock.advance(2_000)
  assert.equal(probes.length, 1)
  assert.equal(breaker.state.kind, 'closed')
  await watching
  assert.equal(clock.pending, 0)
})

test('one that answers and takes nothing is asked more and more rarely, up to the timeout', async () => {
  const { clock, breaker, sink, probes, watching, ended } = setup()
  sink.answers = true
  await clock.advance(200_000)
  const gaps = probes.slice(1).map((at, index) => at - probes[index]!)
  for (const [index, gap] of gaps.slice(1).entries()) assert.ok(gap >= gaps[index]!, String(gaps))
  assert.equal(gaps.at(-1), TIMEOUT_MS)
  assert.ok(probes.length < 15, `${probes.length} batches`)
  sink.takes = true
  await clock.advance(TIMEOUT_MS)
  assert.equal(breaker.state.kind, 'closed')
  await watching
  ended.abort()
})

test('one that stands still is asked again after three seconds, and the watch ends with its signal', async () => {
  const { clock, sink, looks, watching, ended } = setup()
  sink.answers = 'never'
  await clock.advance(60_000)
  assert.ok(looks.length >= 11 && looks.length <= 20, `${looks.length} looks`)
  ended.abort(new Error('stopping'))
  await watching
  assert.equal(clock.pending, 0)
})

test('a breaker that a batch closes by itself ends the watch', async () => {
  const { clock, breaker, watching } = setup()
  await clock.advance(TIMEOUT_MS)
  breaker.succeeded(breaker.enter())
  await clock.advance(2_000)
  await watching
  assert.equal(breaker.state.kind, 'closed')
})
