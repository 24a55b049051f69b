/** The batcher under any interleaving of add, cancel, write ends, time, drain and close. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { AsyncResult } from '../../src/core/async-result.ts'
import { isSluiceError } from '../../src/core/errors.ts'
import { Batcher } from '../../src/pool/batcher.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const MAX_BYTES = 20
const TIMEOUT_MS = 100

interface Item {
  readonly id: number
  readonly bytes: number
}

const step = fc.record({
  action: fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({ kind: fc.constant('add' as const), value: fc.integer({ min: 0, max: 30 }) }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constantFrom('answer' as const, 'fail' as const, 'cancel' as const),
        value: fc.nat(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('advance' as const), value: fc.integer({ min: 1, max: 60 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constantFrom('drain' as const, 'close' as const), value: fc.nat() }),
    },
  ),
  settle: fc.boolean(),
})

test('no item is lost, none written twice, order and bounds are kept, every result settles', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 80, size: 'max' }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 8 }),
      fc.constantFrom('reject' as const, 'drop-oldest' as const, 'drop-newest' as const),
      async (steps, maxItems, maxInFlight, maxWaiting, overflow) => {
        const clock = new ManualClock()
        const open: {
          readonly items: readonly Item[]
          readonly end: PromiseWithResolvers<readonly number[]>
        }[] = []
        const written: Item[] = []
        const added: { readonly item: Item; readonly result: AsyncResult<number>; outcome?: unknown }[] = []
        let pendingWaits = 0
        const wait = (promise: Promise<unknown>): void => {
          pendingWaits += 1
          const settled = (): void => void (pendingWaits -= 1)
          promise.then(settled, settled)
        }
        const batcher = new Batcher<Item, number>({
          name: 'property',
          maxItems,
          maxInFlight,
          maxWaiting,
          overflow,
          maxBytes: MAX_BYTES,
          sizeOf: (item) => item.bytes,
          timeout: TIMEOUT_MS,
          clock,
          write: (items, { signal }) => {
            assert.ok(items.length >= 1 && items.length <= maxItems, `a batch of ${items.length}`)
            const bytes = items.reduce((sum, item) => sum + item.bytes, 0)
            assert.ok(items.length === 1 || bytes <= MAX_BYTES, `a batch of ${bytes} bytes`)
            const end = Promise.withResolvers<readonly number[]>()
            signal.addEventListener('abort', () => end.reject(signal.reason))
            written.push(...items)
            const write = { items, end }
            open.push(write)
            assert.ok(open.length <= maxInFlight, `${open.length} writes at once`)
            return end.promise.finally(() => open.splice(open.indexOf(write), 1))
          },
        })
        const check = (): void => {
          assert.ok(batcher.waiting <= maxWaiting)
          assert.ok(batcher.inFlight <= maxInFlight)
          const ids = written.map((item) => item.id)
          assert.deepEqual(
            ids,
            ids.toSorted((a, b) => a - b),
            'written in the order of adding',
          )
          assert.equal(new Set(ids).size, ids.length, 'written once')
        }
        for (const { action, settle } of steps) {
          const { kind, value } = action
          const write = open[value % Math.max(1, open.length)]
          if (kind === 'add') {
            const item = { id: added.length, bytes: value }
            const entry: (typeof added)[number] = { item, result: batcher.add(item) }
            entry.result.then(
              (outcome) => (entry.outcome = outcome),
              (error: unknown) => (entry.outcome = error),
            )
            added.push(entry)
          } else if (kind === 'answer') write?.end.resolve(write.items.map((item) => item.id))
          else if (kind === 'fail') write?.end.reject(new Error('write failed'))
          else if (kind === 'cancel') added[value % Math.max(1, added.length)]?.result.cancel()
          else if (kind === 'advance') await clock.advance(value)
          else wait(kind === 'drain' ? batcher.drain() : batcher.close({ timeout: TIMEOUT_MS }))
          if (settle) await turn()
          check()
        }
        wait(batcher.close({ timeout: TIMEOUT_MS }))
        await clock.advance(TIMEOUT_MS * 100)
        check()
        assert.equal(pendingWaits, 0, 'drain and close settle')
        assert.deepEqual([batcher.waiting, batcher.inFlight, clock.pending], [0, 0, 0])
        const ids = new Set(written.map((item) => item.id))
        for (const { item, result, outcome } of added) {
          assert.ok(result.isDone, `item ${item.id} never settled`)
          if (result.status === 'fulfilled') assert.equal(outcome, item.id, 'the answer of another item')
          const code = isSluiceError(outcome) ? outcome.code : undefined
          if (code === 'SLUICE_POOL_FULL' || code === 'SLUICE_DROPPED' || code === 'SLUICE_CLOSED') {
            assert.ok(!ids.has(item.id), `item ${item.id} was written and refused`)
          } else if (code !== 'SLUICE_CANCELLED') assert.ok(ids.has(item.id), `item ${item.id} was lost`)
        }
      },
    ),
    { numRuns: 500 },
  )
})

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
