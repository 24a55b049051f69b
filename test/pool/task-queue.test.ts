import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AGEING_STEP, NOT_QUEUED, TaskQueue, type QueueEntry } from '../../src/pool/task-queue.ts'

interface Entry extends QueueEntry {
  readonly id: number
}

function entry(id: number, priority = 5): Entry {
  return { id, priority, arrival: NOT_QUEUED }
}

test('urgent tasks go first, those of one priority in the order of coming', () => {
  const queue = new TaskQueue<Entry>()
  for (const [id, priority] of [
    [0, 5],
    [1, 9],
    [2, 0],
    [3, 5],
    [4, 0],
  ] as const)
    queue.push(entry(id, priority))
  assert.deepEqual(drain(queue), [2, 4, 0, 3, 1])
})

test('a task is overtaken by at most 64 later ones per level, however many urgent ones keep coming', () => {
  for (const priority of [1, 5, 9]) {
    const queue = new TaskQueue<Entry>()
    queue.push(entry(-1, priority))
    queue.push(entry(0, 0))
    let overtaken = 0
    for (let id = 1; queue.shift()?.id !== -1; id += 1) {
      overtaken += 1
      queue.push(entry(id, 0))
      assert.ok(overtaken <= AGEING_STEP * priority, 'never its turn')
    }
    assert.equal(overtaken, AGEING_STEP * priority)
  }
})

test('a sweep of what was removed keeps what waits, in order', () => {
  const queue = new TaskQueue<Entry>()
  const entries = Array.from({ length: 200 }, (_, id) => entry(id, id % 3))
  for (const one of entries) queue.push(one)
  for (const one of entries) if (one.id % 5 !== 0) queue.remove(one)
  assert.equal(queue.length, 40)
  const left = entries.filter((one) => one.id % 5 === 0)
  const turn = (one: Entry): number => one.id + one.priority * AGEING_STEP
  assert.deepEqual(
    drain(queue),
    left.toSorted((a, b) => turn(a) - turn(b) || a.priority - b.priority).map((one) => one.id),
  )
})

test('in any history the queue serves the smallest arrival plus ageing, and forgets what was removed', () => {
  const operation = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('push' as const), value: fc.integer({ min: 0, max: 9 }) }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('shift' as const), value: fc.constant(0) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const), value: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('replace' as const), value: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('leastUrgent' as const), value: fc.constant(0) }) },
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 400, size: 'max' }), (operations) => {
      const queue = new TaskQueue<Entry>()
      const all: Entry[] = []
      let waiting: { readonly entry: Entry; readonly turn: number }[] = []
      let arrivals = 0
      for (const { kind, value } of operations) {
        const chosen = waiting[value % Math.max(1, waiting.length)]
        if (kind === 'push') {
          const one = entry(all.length, value)
          all.push(one)
          queue.push(one)
          waiting.push({ entry: one, turn: arrivals++ + value * AGEING_STEP })
        } else if (kind === 'shift') {
          const expected = waiting.toSorted(byTurn)[0]
          assert.equal(queue.shift(), expected?.entry)
          waiting = waiting.filter((other) => other !== expected)
        } else if (kind === 'remove' && chosen !== undefined) {
          assert.equal(queue.remove(chosen.entry), true)
          assert.equal(queue.remove(chosen.entry), false, 'a second time there is nothing to remove')
          waiting = waiting.filter((other) => other !== chosen)
        } else if (kind === 'replace' && chosen !== undefined) {
          const next = entry(all.length, chosen.entry.priority)
          all.push(next)
          queue.replace(chosen.entry, next)
          waiting = waiting.map((other) => (other === chosen ? { ...other, entry: next } : other))
        } else if (kind === 'leastUrgent') {
          const lowest = Math.max(...waiting.map((other) => other.entry.priority))
          assert.equal(
            queue.leastUrgent(),
            waiting.filter((other) => other.entry.priority === lowest).toSorted(byTurn)[0]?.entry,
          )
        }
        assert.equal(queue.length, waiting.length)
      }
      assert.deepEqual(
        drain(queue),
        waiting.toSorted(byTurn).map((other) => other.entry.id),
      )
    }),
    { numRuns: 200 },
  )
})

function byTurn(
  a: { readonly turn: number; readonly entry: Entry },
  b: { readonly turn: number; readonly entry: Entry },
): number {
  return a.turn - b.turn || a.entry.priority - b.entry.priority
}

function drain(queue: TaskQueue<Entry>): number[] {
  const ids: number[] = []
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) ids.push(next.id)
  return ids
}
