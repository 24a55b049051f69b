/** A replay of many events while live ones go on: it keeps to its rate, and they do not wait for it. */
import assert from 'node:assert/strict'
import { performance } from 'node:perf_hooks'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { anything, place, until } from './support.ts'

const Counted = event('count.made', anything<{ n: number }>())
const PAST = 100_000
const LIVE = 50
const RATE = 2_000

test('live events are delivered one by one while 100,000 are replayed at a rate', async (t) => {
  await using here = await place()
  const peer = await here.peer()
  const arrived = new Map<number, () => void>()
  await peer.events
    .subscribe(Counted, 'reader', ({ data, replay }) => {
      if (replay === undefined) arrived.get(data.n)?.()
    })
    .ready()
  const live = async (n: number): Promise<number> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    arrived.set(n, resolve)
    const since = performance.now()
    await peer.events.publish(Counted, { n })
    await promise
    return performance.now() - since
  }
  for (let from = 0; from < PAST; from += 20_000) {
    const items = Array.from({ length: 20_000 }, (_, index) => ({ data: { n: from + index } }))
    await peer.events.publishMany(Counted, items)
  }
  await live(PAST)
  const before: number[] = []
  for (let n = 0; n < LIVE; n++) before.push(await live(PAST + 1 + n))

  const since = performance.now()
  const { id } = await peer.events.replay('reader', { from: 'beginning', rate: RATE })
  const replay = async () => (await peer.events.replays('reader')).find((each) => each.id === id)
  await until(replay, (info) => (info?.delivered ?? 0) >= RATE)
  const during: number[] = []
  for (let n = 0; n < LIVE; n++) during.push(await live(2 * PAST + n))
  const info = await replay()
  const seconds = (performance.now() - since) / 1_000
  assert.equal(info?.state, 'running')
  // Slices of a tenth of a second; the last one may not be waited for yet.
  assert.ok(info.delivered <= RATE * (seconds + 0.2), `${info.delivered} in ${seconds} s`)
  await peer.events.cancelReplay(id)
  const figure = (all: readonly number[], share: number): string =>
    (all.toSorted((a, b) => a - b)[Math.floor(all.length * share)] ?? 0).toFixed(1)
  for (const [what, all] of [
    ['alone', before],
    ['beside a replay', during],
  ] as const)
    // prettier-ignore
    t.diagnostic(`live, ${what}: p50 ${figure(all, 0.5)} ms, p95 ${figure(all, 0.95)} ms`)
  t.diagnostic(`replayed ${info.delivered} in ${seconds.toFixed(1)} s`)
})
