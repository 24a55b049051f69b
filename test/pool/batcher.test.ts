import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { Batcher, type BatcherOptions } from '../../src/pool/batcher.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const boom = new Error('boom')

interface Write {
  readonly items: readonly string[]
  readonly signal: AbortSignal
  readonly answer: (values?: readonly (string | Error)[]) => void
  readonly fail: (error: Error) => void
}

/** A batcher whose writes end when the test says so. */
function makeBatcher(options: Partial<BatcherOptions<string, string>> = {}): {
  batcher: Batcher<string, string>
  clock: ManualClock
  writes: Write[]
} {
  const clock = new ManualClock()
  const writes: Write[] = []
  const batcher = new Batcher<string, string>({
    name: 'sink',
    maxItems: 3,
    clock,
    write: (items, { signal }) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly (string | Error)[]>()
      const answer: Write['answer'] = (values) => resolve(values ?? items.map((item) => item.toUpperCase()))
      writes.push({ items, signal, answer, fail: reject })
      return promise
    },
    ...options,
  })
  return { batcher, clock, writes }
}

test('when nothing is being written, the items of one turn go out together at its end', async () => {
  const { batcher, writes } = makeBatcher()
  const results = [batcher.add('a'), batcher.add('b')]
  assert.deepEqual([writes.length, batcher.waiting], [0, 2])
  await turn()
  assert.deepEqual(writes[0]?.items, ['a', 'b'])
  assert.deepEqual([batcher.waiting, batcher.inFlight], [0, 1])
  writes[0].answer()
  assert.deepEqual(await Promise.all(results), ['A', 'B'])
  assert.deepEqual(batcher.stats().triggers, { idle: 1, count: 0, bytes: 0, time: 0, drain: 0 })
})

test('while a write is in flight items gather, and go out when it is done', async () => {
  const { batcher, writes } = makeBatcher()
  const first = batcher.add('a')
  await turn()
  const others = [batcher.add('b'), batcher.add('c')]
  await turn()
  assert.equal(writes.length, 1)
  writes[0]!.answer()
  await first
  await turn()
  assert.deepEqual(writes[1]?.items, ['b', 'c'])
  writes[1].answer()
  await Promise.all(others)
  assert.equal(batcher.stats().triggers.idle, 2)
})

test('a batch that is full by count goes out at once, beside the running write where that is allowed', async () => {
  const { batcher, writes } = makeBatcher({ maxInFlight: 2 })
  for (const item of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) void batcher.add(item)
  assert.deepEqual(
    writes.map((write) => write.items),
    [
      ['a', 'b', 'c'],
      ['d', 'e', 'f'],
    ],
  )
  assert.deepEqual([batcher.waiting, batcher.stats().triggers.count], [1, 2])
  for (const write of writes) write.answer()
  await turn()
  writes[2]!.answer()
  await batcher.drain()
})

test('a batch holds no more bytes than maxBytes, but for one item of more', async () => {
  const { batcher, writes } = makeBatcher({ maxItems: 100, maxBytes: 10, sizeOf: (item) => item.length })
  const results = ['12345', '1234', '123', 'x'.repeat(50), '1'].map((item) => batcher.add(item))
  while (writes.length < 4) {
    writes.at(-1)?.answer()
    await turn()
  }
  writes.at(-1)?.answer()
  await Promise.all(results)
  assert.deepEqual(
    writes.map((write) => write.items.map((item) => item.length)),
    [[5, 4], [3], [50], [1]],
  )
  assert.equal(batcher.stats().triggers.bytes, 3)
})

test('an item waits for maxDelay at most while another write may start', async () => {
  const { batcher, clock, writes } = makeBatcher({ maxInFlight: 2, maxDelay: '25ms' })
  void batcher.add('a')
  await turn()
  void batcher.add('b')
  await clock.advance(10)
  void batcher.add('c')
  await clock.advance(14)
  assert.equal(writes.length, 1)
  await clock.advance(1)
  assert.deepEqual(writes[1]?.items, ['b', 'c'])
  assert.equal(batcher.stats().triggers.time, 1)
  for (const write of writes) write.answer()
  await batcher.drain()
  assert.equal(clock.pending, 0)
})

test('each item has its own result, and an Error among the answers fails only its own', async () => {
  const { batcher, writes } = makeBatcher()
  const [a, b] = [batcher.add('a'), batcher.add('b')]
  await turn()
  writes[0]!.answer(['one', boom])
  assert.equal(await a, 'one')
  await assert.rejects(b, (error) => error === boom)
})

test('a write that fails fails the items of its batch and no others', async () => {
  const { batcher, writes } = makeBatcher()
  const first = batcher.add('a')
  await turn()
  const second = batcher.add('b')
  writes[0]!.fail(boom)
  await assert.rejects(first, (error) => error === boom)
  await turn()
  writes[1]!.answer()
  assert.equal(await second, 'B')
  assert.equal(batcher.stats().failedBatches, 1)
})

test('a write that throws before it waits is a failed batch', async () => {
  const batcher = new Batcher<string, string>({
    name: 'sink',
    write: () => {
      throw boom
    },
  })
  await assert.rejects(batcher.add('a'), (error) => error === boom)
  await batcher.close()
})

test('a number of answers other than that of the items fails the batch instead of mixing them up', async () => {
  const { batcher, writes } = makeBatcher()
  const results = [batcher.add('a'), batcher.add('b')]
  await turn()
  writes[0]!.answer(['one'])
  for (const result of results) {
    await assert.rejects(result, {
      code: 'SLUICE_INVALID_ARGUMENT',
      message: 'sink: write: expected 2 answers, one for each item, got 1',
    })
  }
})

test('a write may answer nothing where there is nothing to answer', async () => {
  const written: number[] = []
  const batcher = new Batcher<number>({ name: 'log', write: (items) => void written.push(...items) })
  assert.equal(await batcher.add(1), undefined)
  assert.deepEqual(written, [1])
})

test('a cancelled item is not written; in a batch under way it is let go of', async () => {
  const { batcher, writes } = makeBatcher()
  const first = batcher.add('a')
  await turn()
  const [b, c] = [batcher.add('b'), batcher.add('c')]
  b.cancel(boom)
  assert.equal(batcher.waiting, 1)
  first.cancel(boom)
  writes[0]!.answer()
  await assert.rejects(first, (error) => error === boom)
  await turn()
  assert.deepEqual(writes[1]?.items, ['c'])
  writes[1].answer()
  assert.equal(await c, 'C')
})

test('an abort takes a waiting item out, and the signal keeps no listener', async () => {
  const { batcher, writes } = makeBatcher()
  const controller = new AbortController()
  const quiet = new AbortController()
  const first = batcher.add('a', { signal: quiet.signal })
  await turn()
  const second = batcher.add('b', { signal: controller.signal })
  controller.abort(boom)
  await assert.rejects(second, (error) => error === boom)
  await assert.rejects(batcher.add('c', { signal: controller.signal }), (error) => error === boom)
  writes[0]!.answer()
  await first
  await batcher.drain()
  assert.deepEqual(
    writes.map((write) => write.items),
    [['a']],
  )
  for (const { signal } of [controller, quiet]) assert.equal(getEventListeners(signal, 'abort').length, 0)
})

test('an item whose signal has aborted already is neither queued nor written, and the others of its turn are', async () => {
  const { batcher, writes } = makeBatcher()
  const gone = AbortSignal.abort(boom)
  const results = [batcher.add('a'), batcher.add('b', { signal: gone }), batcher.add('c')]
  assert.equal(batcher.waiting, 2)
  await assert.rejects(results[1]!, (error) => error === boom)
  await turn()
  assert.deepEqual(writes[0]?.items, ['a', 'c'])
  writes[0].answer()
  assert.deepEqual(await Promise.all([results[0], results[2]]), ['A', 'C'])
  assert.equal(getEventListeners(gone, 'abort').length, 0)
})

test('an abort in a batch under way lets go of its item only, and the write goes on', async () => {
  const { batcher, writes } = makeBatcher()
  const controller = new AbortController()
  const first = batcher.add('a', { signal: controller.signal })
  const second = batcher.add('b')
  await turn()
  controller.abort(boom)
  await assert.rejects(first, (error) => error === boom)
  assert.equal(writes[0]?.signal.aborted, false)
  writes[0]!.answer()
  assert.equal(await second, 'B')
})

test('a signal that outlives its items keeps no listener, however they ended', async () => {
  const { signal } = new AbortController()
  const listeners = (): number => getEventListeners(signal, 'abort').length
  const { batcher, clock, writes } = makeBatcher({ maxWaiting: 2, overflow: 'drop-oldest' })
  const ends: Promise<unknown>[] = []
  const add = (item: string) => {
    const result = batcher.add(item, { signal })
    ends.push(result.catch((error: unknown) => error))
    return result
  }
  for (let round = 0; round < 100; round += 1) {
    void add('written')
    await turn()
    void add('dropped')
    const cancelled = add('cancelled')
    void add('in its place')
    cancelled.cancel(boom)
    assert.equal(listeners(), 2)
    const write = writes.at(-1)!
    if (round % 2 === 0) write.answer()
    else write.fail(boom)
    await turn()
    writes.at(-1)!.answer()
    await batcher.drain()
    assert.equal(listeners(), 0)
  }
  await Promise.all(ends)

  void add('in a write that never ends')
  await turn()
  void add('waiting')
  assert.equal(listeners(), 2)
  const closing = assert.rejects(batcher.close({ timeout: '1s' }), { code: 'SLUICE_TIMEOUT' })
  await clock.advance(1_000)
  await clock.advance(0)
  await closing
  await Promise.all(ends)
  await turn()
  assert.equal(listeners(), 0)
})

test('a write that outlasts its timeout fails its items by name, and the next waits until it stops', async () => {
  const { batcher, clock, writes } = makeBatcher({ timeout: '2s' })
  const first = batcher.add('a')
  await turn()
  const second = batcher.add('b')
  const failed = assert.rejects(first, {
    code: 'SLUICE_TIMEOUT',
    message: '"sink: write" timed out after 2000 ms while it ran',
  })
  await clock.advance(2_000)
  await failed
  assert.deepEqual([writes.length, writes[0]!.signal.aborted], [1, true])
  writes[0]!.fail(boom)
  await turn()
  writes[1]!.answer()
  assert.equal(await second, 'B')
})

test('a write that never stops loses its place after five seconds', async () => {
  const { batcher, clock, writes } = makeBatcher({ timeout: '2s' })
  const first = assert.rejects(batcher.add('a'), { code: 'SLUICE_TIMEOUT' })
  await turn()
  const second = batcher.add('b')
  await clock.advance(7_000)
  await first
  assert.deepEqual(writes[1]?.items, ['b'])
  writes[1].answer()
  assert.equal(await second, 'B')
})

test('what waits is bounded by count and by bytes, and the policy says who goes', async () => {
  const { batcher, writes } = makeBatcher({ maxWaiting: 2 })
  void batcher.add('a')
  await turn()
  const kept = [batcher.add('b'), batcher.add('c')]
  await assert.rejects(batcher.add('d'), { code: 'SLUICE_POOL_FULL', retryable: true })
  writes[0]!.answer()
  await turn()
  writes[1]!.answer()
  assert.deepEqual(await Promise.all(kept), ['B', 'C'])

  const bytes = makeBatcher({ maxWaitingBytes: 5, sizeOf: (item) => item.length }).batcher
  void bytes.add('1234')
  await assert.rejects(bytes.add('12'), { code: 'SLUICE_POOL_FULL' })

  const oldest = makeBatcher({ maxWaiting: 1, overflow: 'drop-oldest' }).batcher
  const dropped = oldest.add('a')
  const newer = oldest.add('b')
  await assert.rejects(dropped, { code: 'SLUICE_DROPPED' })
  assert.equal(newer.status, 'pending')

  const newest = makeBatcher({ maxWaiting: 1, overflow: 'drop-newest' }).batcher
  void newest.add('a')
  await assert.rejects(newest.add('b'), { code: 'SLUICE_DROPPED' })
  assert.equal(newest.stats().dropped, 1)
})

test('drain sends what waits without delay and waits for it', async () => {
  const { batcher, writes } = makeBatcher({ maxInFlight: 2, maxDelay: '1h' })
  void batcher.add('a')
  await turn()
  void batcher.add('b')
  const drained = batcher.drain()
  assert.deepEqual(writes[1]?.items, ['b'])
  let done = false
  void drained.then(() => (done = true))
  writes[1].answer()
  await turn()
  assert.equal(done, false)
  writes[0]!.answer()
  await drained
  assert.equal(batcher.stats().triggers.drain, 1)
})

test('close writes the last batch, and takes nothing more', async () => {
  const { batcher, clock, writes } = makeBatcher()
  const result = batcher.add('a')
  const closing = batcher.close({ timeout: '5s' })
  assert.equal(batcher.close(), closing)
  await assert.rejects(batcher.add('b'), { code: 'SLUICE_CLOSED' })
  await turn()
  writes[0]!.answer()
  await closing
  assert.equal(await result, 'A')
  assert.equal(clock.pending, 0)
})

test('close that runs out of time rejects what is left, written or not, and aborts the write', async () => {
  const { batcher, clock, writes } = makeBatcher()
  const first = assert.rejects(batcher.add('a'), { code: 'SLUICE_POOL_CLOSED' })
  await turn()
  const second = assert.rejects(batcher.add('b'), { code: 'SLUICE_CLOSED' })
  const closing = assert.rejects(batcher.close({ timeout: '1s' }), {
    code: 'SLUICE_TIMEOUT',
    message: '"sink: close" timed out after 1000 ms with 1 tasks running',
  })
  await clock.advance(1_000)
  await clock.advance(0)
  await Promise.all([first, second, closing])
  assert.deepEqual([writes.length, writes[0]!.signal.aborted, clock.pending], [1, true, 0])
})

test('a batch is written in no request', async () => {
  const context = new AsyncLocalStorage<string>()
  const seen: (string | undefined)[] = []
  const batcher = new Batcher<string>({ name: 'log', write: () => void seen.push(context.getStore()) })
  await context.run('request', () => batcher.add('a'))
  assert.deepEqual(seen, [undefined])
})

test('bad options are refused with the place, the value and what was expected', async () => {
  const table: [Partial<BatcherOptions<string, string>>, string][] = [
    [{ name: '' }, 'Batcher: name: expected a name, got ""'],
    [{ maxItems: 0 }, 'sink: maxItems: expected a whole number of at least 1, got 0'],
    [{ maxBytes: NaN }, 'sink: maxBytes: expected a whole number of at least 1, got NaN'],
    [{ maxInFlight: 0.5 }, 'sink: maxInFlight: expected a whole number of at least 1, got 0.5'],
    [{ maxWaiting: Infinity }, 'sink: maxWaiting: expected a whole number of at least 1, got Infinity'],
    [{ maxDelay: 'soon' }, `sink: maxDelay: expected milliseconds or a duration such as '5s', got "soon"`],
    [
      { overflow: 'wait' as 'reject' },
      'sink: overflow: expected reject, drop-newest or drop-oldest, got "wait"',
    ],
  ]
  for (const [options, message] of table)
    assert.throws(() => makeBatcher(options), { code: 'SLUICE_INVALID_ARGUMENT', message })
  const { batcher } = makeBatcher({ sizeOf: () => NaN })
  await assert.rejects(batcher.add('a'), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: 'sink: sizeOf: expected a number of bytes, got NaN',
  })
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
