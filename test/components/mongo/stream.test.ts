/** Documents as they are taken. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { behindProxy, hasCode, missingServer, stage, type Stage } from './support.ts'

const skip = await missingServer()

async function filled(at: Stage, count: number) {
  const numbers = at.api.collection<{ index: number; text: string }>('numbers')
  await numbers.insertMany(Array.from({ length: count }, (_, index) => ({ index, text: 'x'.repeat(100) })))
  return numbers
}

const streams = (at: Stage): unknown => at.api.status()['streams']

test('a stream gives every document once, in batches, and closes', { skip }, async () => {
  await using at = await stage({ maxDocuments: 10 })
  const numbers = await filled(at, 2_500)
  const seen: number[] = []
  for await (const { index } of numbers.stream({}, { sort: { index: 1 }, batchSize: 100 })) seen.push(index)
  assert.deepEqual(
    seen,
    Array.from({ length: 2_500 }, (_, index) => index),
  )
  assert.equal(streams(at), 0)
  const even: number[] = []
  for await (const { index } of numbers.aggregateStream<{ index: number }>([
    { $match: { index: { $lt: 20 } } },
  ]))
    even.push(index)
  assert.equal(even.length, 20)
  const few: number[] = []
  for await (const { index } of numbers.stream({}, { limit: 7, batchSize: 3 })) few.push(index)
  assert.equal(few.length, 7)
})

test('leaving the loop closes the stream, and an empty one ends', { skip }, async () => {
  await using at = await stage()
  const numbers = await filled(at, 500)
  for await (const document of numbers.stream({}, { batchSize: 10 })) {
    assert.ok(document.index >= 0)
    assert.equal(streams(at), 1)
    break
  }
  assert.equal(streams(at), 0)
  for await (const _none of numbers.stream({ index: -1 })) assert.fail('there is none')
  const unread = numbers.stream()
  await unread.return()
  assert.equal(streams(at), 0)
})

test('an abort ends a stream with its reason, between documents and while it waits', { skip }, async () => {
  await using at = await behindProxy({ requestTimeout: '20s' })
  const numbers = await filled(at, 500)
  const reason = new Error('enough')
  const between = new AbortController()
  await assert.rejects(async () => {
    for await (const { index } of numbers.stream({}, { batchSize: 10, signal: between.signal }))
      if (index === 3) between.abort(reason)
  }, reason)
  assert.equal(streams(at), 0)
  const waiting = new AbortController()
  const stream = numbers.stream({}, { batchSize: 10, signal: waiting.signal })
  for (let taken = 0; taken < 10; taken++) await stream.next()
  at.proxy.blackhole()
  const next = stream.next()
  waiting.abort(reason)
  await assert.rejects(next, reason)
  await assert.rejects(async () => {
    for await (const _document of numbers.stream({}, { signal: AbortSignal.abort(reason) })) assert.fail()
  }, reason)
})

test('a stream of which nothing is taken is closed, one that is read slowly is not', { skip }, async () => {
  const clock = new ManualClock()
  await using at = await stage({ idleTimeout: '10s', requestTimeout: '1h' }, { clock })
  const numbers = await filled(at, 50)
  const stream = numbers.stream({}, { batchSize: 5 })
  for (let round = 0; round < 4; round++) {
    assert.equal((await stream.next()).done, false)
    await clock.advance(10_000)
  }
  assert.equal(streams(at), 1)
  await clock.advance(10_000)
  assert.equal(streams(at), 0)
  await assert.rejects(stream.next(), hasCode('SLUICE_TIMEOUT'))
})

test(
  'more streams than allowed are refused, and the close of the component ends those that are open',
  { skip },
  async () => {
    await using at = await stage({ maxStreams: 2 })
    const numbers = await filled(at, 50)
    const open = [numbers.stream({}, { batchSize: 2 }), numbers.stream({}, { batchSize: 2 })]
    await Promise.all(open.map((stream) => stream.next()))
    await assert.rejects(numbers.stream().next(), hasCode('SLUICE_POOL_FULL'))
    await at.open.close()
    for (const stream of open) await assert.rejects(stream.next(), hasCode('SLUICE_CLOSED'))
  },
)

test('options of a stream that make no sense are refused at once', { skip }, async () => {
  await using at = await stage()
  const numbers = at.api.collection('numbers')
  for (const batchSize of [0, -1, 1.5, 100_001])
    assert.throws(() => numbers.stream({}, { batchSize }), hasCode('SLUICE_INVALID_ARGUMENT'))
  assert.throws(
    () => numbers.stream({}, { idleTimeout: 'soon' as never }),
    hasCode('SLUICE_INVALID_ARGUMENT'),
  )
})
