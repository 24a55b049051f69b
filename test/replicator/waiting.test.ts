import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Slot } from '../../src/replicator/lanes/slot.ts'
import { hashOf, Waiting } from '../../src/replicator/lanes/waiting.ts'
import { STREAM_START } from '../../src/replicator/stream-id.ts'

/** `hash`: few different ones, so that many slots share a bucket. */
const slotOf = (id: string, hash: number): Slot =>
  new Slot('full', id, '{}', undefined, STREAM_START, false, 0, hash)
const idsOf = (waiting: Waiting): string[] => [...waiting].map(({ id }) => id)

const step = fc.record({
  do: fc.constantFrom('append', 'append', 'append', 'remove', 'prepend', 'takeFirst', 'clear'),
  key: fc.nat(200),
})

test('slots are found by their ids and come out in their order, also when all share a bucket', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), fc.constantFrom(1, 3, 0xffffffff), (steps, hashes) => {
      const waiting = new Waiting()
      // A Map keeps the same promises.
      let model = new Map<string, Slot>()
      for (const { do: what, key } of steps) {
        const id = `k${key}`
        const hash = hashOf(id, 7) % hashes
        const there = model.get(id)
        assert.equal(waiting.get(id, hash), there)
        if (what === 'clear') {
          if (key > 190) {
            waiting.clear()
            model.clear()
          }
        } else if (what === 'takeFirst') {
          const { first } = waiting
          assert.equal(first, model.values().next().value)
          if (first !== undefined) {
            waiting.remove(first)
            model.delete(first.id)
          }
        } else if (what === 'remove') {
          const slot = there ?? slotOf(id, hash)
          waiting.remove(slot)
          model.delete(id)
        } else if (there === undefined) {
          const slot = slotOf(id, hash)
          if (what === 'append') {
            waiting.append(slot)
            model.set(id, slot)
          } else {
            waiting.prepend([slot])
            model = new Map([[id, slot], ...model])
          }
        }
        assert.equal(waiting.size, model.size)
      }
      assert.deepEqual(idsOf(waiting), [...model.keys()])
    }),
    { numRuns: 300 },
  )
})

test('several that are put in front keep their order', () => {
  const waiting = new Waiting()
  waiting.append(slotOf('c', 1))
  waiting.prepend([slotOf('a', 1), slotOf('b', 2)])
  assert.deepEqual(idsOf(waiting), ['a', 'b', 'c'])
})

test('the hash is of 32 bits, even over shards, and another for another seed', () => {
  const counts = [0, 0, 0, 0, 0, 0, 0, 0]
  for (let at = 0; at < 8_000; at++) counts[hashOf(`e${at}`, 1) % 8]! += 1
  for (const count of counts) assert.ok(count > 800 && count < 1_200, String(counts))
  assert.notEqual(hashOf('a', 1), hashOf('a', 2))
  for (const id of ['', 'ü', 'x'.repeat(512)])
    assert.ok(hashOf(id, 0xffffffff) >= 0 && hashOf(id, 3) < 2 ** 32)
})
