/** Operations in any history of calls, answers, aborts and time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SluiceError } from '../../src/core/errors.ts'
import { cacheOperations } from './cache-operations.ts'

const TIMEOUT_MS = 1_000
const CONCURRENT = 2

type Step =
  | { readonly do: 'call'; readonly idempotent: boolean; readonly priority: number }
  | { readonly do: 'answer'; readonly which: number; readonly ok: boolean }
  | { readonly do: 'abort' | 'cancel'; readonly which: number }
  | { readonly do: 'wait'; readonly ms: number }

const which = fc.nat(20)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('call' as const), idempotent: fc.boolean(), priority: fc.nat(9) }),
  fc.record({ do: fc.constant('answer' as const), which, ok: fc.boolean() }),
  fc.record({ do: fc.constantFrom('abort' as const, 'cancel' as const), which }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(700) }),
)

test('every call settles by its deadline, bodies never run beyond the slots, and nothing is left over', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      fc.constantFrom(0, 3),
      async (steps, breakerThreshold) => {
        const { clock, operations } = cacheOperations({
          timeoutMs: TIMEOUT_MS,
          maxConcurrent: CONCURRENT,
          maxWaiting: 4,
          breakerThreshold,
          breakerResetMs: 300,
        })
        const bodies: PromiseWithResolvers<number>[] = []
        let underWay = 0
        const body = (): Promise<number> => {
          const answer = Promise.withResolvers<number>()
          bodies.push(answer)
          underWay += 1
          assert(underWay <= CONCURRENT, `${underWay} bodies at once`)
          void answer.promise.then(
            () => (underWay -= 1),
            () => (underWay -= 1),
          )
          return answer.promise
        }
        const calls: { readonly settledAt: () => number | undefined; readonly startedAt: number }[] = []
        const handles: { readonly abort: () => void; readonly cancel: () => void }[] = []
        for (const taken of steps) {
          if (taken.do === 'wait') await clock.advance(taken.ms)
          else if (taken.do === 'call') {
            const controller = new AbortController()
            const { priority, idempotent } = taken
            const startedAt = clock.monotonic()
            const result = operations.run({ name: 'op', idempotent }, body, {
              priority,
              signal: controller.signal,
            })
            let settledAt: number | undefined
            const settled = (): void => {
              assert.equal(settledAt, undefined)
              settledAt = clock.monotonic()
            }
            result.then(settled, settled)
            calls.push({ startedAt, settledAt: () => settledAt })
            handles.push({ abort: () => controller.abort(new Error('abort')), cancel: () => result.cancel() })
          } else if (taken.do === 'answer') {
            const answer = bodies[taken.which % Math.max(1, bodies.length)]
            if (taken.ok) answer?.resolve(1)
            else answer?.reject(new SluiceError('SLUICE_UNAVAILABLE', 'gone', { retryable: true }))
            await clock.advance(0)
          } else handles[taken.which % Math.max(1, handles.length)]?.[taken.do]()
          assert(operations.running <= CONCURRENT)
          assert(operations.waiting <= 4)
        }
        await clock.advance(TIMEOUT_MS)
        for (const { startedAt, settledAt } of calls) {
          const at = settledAt()
          assert(at !== undefined && at <= startedAt + TIMEOUT_MS, `started ${startedAt}, settled ${at}`)
        }
        for (const answer of bodies) answer.resolve(0)
        await clock.advance(100)
        assert.deepEqual([operations.running, operations.waiting, clock.pending], [0, 0, 0])
      },
    ),
    { numRuns: 150 },
  )
})
