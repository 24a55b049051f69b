import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Ring } from '../../src/core/ring.ts'

test('a ring behaves as an array under any sequence of operations', () => {
  const operation = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ kind: fc.constant('push' as const), times: fc.integer({ min: 1, max: 300 }) }),
    },
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('shift' as const), times: fc.integer({ min: 1, max: 400 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('filter' as const), times: fc.integer({ min: 2, max: 5 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('set' as const), times: fc.integer({ min: 0, max: 900 }) }),
    },
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const ring = new Ring<number>()
      let model: number[] = []
      let next = 0
      for (const { kind, times } of operations) {
        if (kind === 'push') {
          for (let i = 0; i < times; i += 1) {
            ring.push(next)
            model.push(next++)
          }
        } else if (kind === 'shift') {
          for (let i = 0; i < times; i += 1) assert.equal(ring.shift(), model.shift())
        } else if (kind === 'filter') {
          ring.filter((item) => item % times !== 0)
          model = model.filter((item) => item % times !== 0)
        } else if (times < model.length) {
          const index = ring.search((item) => item - (model[times] as number))
          assert.equal(index, times)
          ring.set(index, model[times] as number)
        }
        assert.equal(ring.length, model.length)
        assert.equal(ring.peek(), model[0])
      }
      while (model.length > 0) assert.equal(ring.shift(), model.shift())
      assert.equal(ring.shift(), undefined)
    }),
    { numRuns: 200 },
  )
})

test('search answers undefined for what is not there, set refuses an index outside', () => {
  const ring = new Ring<number>()
  ring.push(1)
  ring.push(3)
  assert.equal(
    ring.search((item) => item - 2),
    undefined,
  )
  assert.throws(() => ring.set(2, 9), RangeError)
})
