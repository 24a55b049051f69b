/** The lanes of a shard, against a model that keeps everything in one list. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TimeHeap } from '../../src/engine/tasks/keyed-heap.ts'
import type { LaneTask } from '../../src/engine/tasks/keyed-lane.ts'
import { Lanes } from '../../src/engine/tasks/keyed-lanes.ts'

test('the heap gives items out by their time, and none before it', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50)), fc.nat(60), (times, now) => {
      const heap = new TimeHeap<number>()
      for (const at of times) heap.push(at, at)
      const out: number[] = []
      for (let item = heap.shift(now); item !== undefined; item = heap.shift(now)) out.push(item)
      assert.deepEqual(
        out,
        times.filter((at) => at <= now).toSorted((a, b) => a - b),
      )
      assert.equal(heap.peek(), times.filter((at) => at > now).toSorted((a, b) => a - b)[0])
    }),
  )
})

test('one task of a key runs at a time, in the order of their ids', () => {
  const lanes = new Lanes()
  for (const id of [3, 1, 2]) lanes.add(task(id, 'a'), 0)
  lanes.add(task(4, 'b'), 0)
  assert.deepEqual(idsOf(lanes.take(10, 0)), ['1', '4'])
  assert.deepEqual(lanes.take(10, 0), [])
  lanes.remove('1', 0)
  assert.deepEqual(idsOf(lanes.take(10, 0)), ['2'])
  lanes.remove('4', 0)
  lanes.remove('2', 0)
  assert.deepEqual(idsOf(lanes.take(10, 0)), ['3'])
})

test('a task that failed keeps its place, and only its key waits for it', () => {
  const lanes = new Lanes()
  lanes.add(task(1, 'a'), 0)
  lanes.add(task(2, 'a'), 0)
  lanes.add(task(3, 'b'), 0)
  assert.deepEqual(idsOf(lanes.take(1, 0)), ['1'])
  lanes.putBack('1', { attempt: 1, dueAt: 100 }, 0)
  assert.deepEqual(idsOf(lanes.take(10, 99)), ['3'])
  assert.equal(lanes.nextDue(), 100)
  assert.deepEqual(idsOf(lanes.take(10, 100)), ['1'])
})

test('a delayed task lets the others of its key pass until it is due, and then goes by its id', () => {
  const lanes = new Lanes()
  lanes.add(task(1, 'a', { dueAt: 50 }), 0)
  for (const id of [2, 3, 4]) lanes.add(task(id, 'a'), 0)
  assert.deepEqual(idsOf(lanes.take(1, 0)), ['2'])
  lanes.remove('2', 60)
  assert.deepEqual(idsOf(lanes.take(1, 60)), ['1'])
  lanes.remove('1', 60)
  assert.deepEqual(idsOf(lanes.take(1, 60)), ['3'])
})

test('the most urgent lane is first, by its next task', () => {
  const lanes = new Lanes()
  lanes.add(task(1, 'a', { prio: 9 }), 0)
  lanes.add(task(2, 'b', { prio: 5 }), 0)
  lanes.add(task(3, 'c', { prio: 0 }), 0)
  assert.deepEqual(idsOf(lanes.take(3, 0)), ['3', '2', '1'])
})

test('a wide lane runs several, and one that failed does not hold the others up', () => {
  const lanes = new Lanes({ width: 2 })
  for (const id of [1, 2, 3, 4]) lanes.add(task(id, 'a'), 0)
  assert.deepEqual(idsOf(lanes.take(10, 0)), ['1', '2'])
  lanes.putBack('1', { attempt: 1, dueAt: 100 }, 0)
  assert.deepEqual(idsOf(lanes.take(10, 0)), ['3'])
  lanes.remove('2', 100)
  assert.deepEqual(idsOf(lanes.take(10, 100)), ['1'])
})

test('of too many delayed tasks it is known from when on they must be looked for', () => {
  const lanes = new Lanes({ maxLater: 2 })
  for (const [id, dueAt] of [
    [1, 10],
    [2, 20],
    [3, 40],
    [4, 30],
  ] as const) {
    lanes.add(task(id, `k${id}`, { dueAt }), 0)
  }
  assert.equal(lanes.nextDue(), 10)
  assert.deepEqual(idsOf(lanes.take(9, 25)), ['1', '2'])
  assert.equal(lanes.takeLostLater(29), undefined)
  assert.equal(lanes.nextDue(), 30)
  assert.equal(lanes.takeLostLater(30), 30)
  assert.equal(lanes.nextDue(), undefined)
})

/**
 * The model holds every task of the shard in a list, as the database does, and says what may start: of each key the
 * lowest id that is not a delayed one, if none of the key runs. Lanes that keep three tasks of a key must do the same.
 */
test('with a bounded memory exactly what may start is started, and nothing is left behind', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          { weight: 4, arbitrary: fc.record({ do: fc.constant('add'), key: fc.nat(1), delay: fc.nat(2) }) },
          {
            weight: 4,
            arbitrary: fc.record({ do: fc.constant('take'), limit: fc.integer({ min: 1, max: 5 }) }),
          },
          { weight: 3, arbitrary: fc.record({ do: fc.constant('done'), which: fc.nat(9) }) },
          {
            weight: 2,
            arbitrary: fc.record({ do: fc.constant('fail'), which: fc.nat(9), delay: fc.nat(3) }),
          },
          {
            weight: 1,
            arbitrary: fc.record({ do: fc.constant('time'), by: fc.integer({ min: 1, max: 3 }) }),
          },
          { weight: 1, arbitrary: fc.record({ do: fc.constant('trim') }) },
        ),
        { maxLength: 120, size: 'max' },
      ),
      (steps) => {
        const lanes = new Lanes({ perLane: 3, maxLater: 4 })
        const all = new Map<string, LaneTask>()
        const running = new Set<string>()
        let now = 0
        let lastId = 0
        const read = (): void => {
          const behind = lanes.behind()
          if (behind !== undefined) {
            const rows = [...all.values()]
              .filter(({ id, key }) => behind.keys.includes(key) && Number(id) >= behind.from)
              .toSorted(byId)
            // Two at a time, so that pages are met.
            const isEnd = rows.length < 2
            lanes.caughtUp(behind.keys, rows.slice(0, 2), isEnd ? lastId : Number(rows[1]?.id), isEnd, now)
          }
          const later = lanes.takeLostLater(now)
          if (later !== undefined) {
            for (const each of all.values()) {
              if (each.dueAt >= later && !running.has(each.id)) lanes.add(each, now)
            }
          }
        }
        const settle = (): void => {
          for (let round = 0; round < 200; round++) read()
        }
        for (const step of steps) {
          if (step.do === 'add') {
            const { key, delay } = step as { key: number; delay: number }
            const added = task(++lastId, `k${key}`, { dueAt: delay === 0 ? -Infinity : now + delay })
            all.set(added.id, added)
            lanes.add(added, now)
          } else if (step.do === 'take') {
            settle()
            const { limit } = step as { limit: number }
            const expected = startable(all, running, now)
            const taken = lanes.take(limit, now)
            assert.equal(taken.length, Math.min(limit, expected.size))
            for (const { id } of taken) {
              assert.ok(expected.has(id), `${id} may not start`)
              running.add(id)
            }
          } else if (step.do === 'time') {
            now += (step as { by: number }).by
          } else if (step.do === 'trim') {
            lanes.trim(now)
          } else {
            const { which } = step as { which: number }
            const id = [...running][which % Math.max(1, running.size)]
            if (id === undefined) continue
            running.delete(id)
            if (step.do === 'done') {
              all.delete(id)
              lanes.remove(id, now)
            } else {
              const failed = all.get(id)!
              const change = { attempt: failed.attempt + 1, dueAt: now + (step as { delay: number }).delay }
              all.set(id, { ...failed, ...change })
              lanes.putBack(id, change, now)
            }
          }
        }
        // Whatever is left runs to its end.
        now += 10
        for (let round = 0; all.size > 0; round++) {
          assert.ok(round < 1_000, `${all.size} were left behind`)
          settle()
          for (const { id } of lanes.take(10, now)) running.add(id)
          for (const id of running) {
            running.delete(id)
            all.delete(id)
            lanes.remove(id, now)
          }
        }
        assert.equal(lanes.size, 0)
        assert.equal(lanes.nextDue(), undefined)
      },
    ),
    { numRuns: 300 },
  )
})

function startable(
  all: ReadonlyMap<string, LaneTask>,
  running: ReadonlySet<string>,
  now: number,
): ReadonlySet<string> {
  const busy = new Set([...running].map((id) => all.get(id)?.key))
  const heads = new Map<string, LaneTask>()
  for (const each of [...all.values()].toSorted(byId)) {
    if (running.has(each.id) || busy.has(each.key) || heads.has(each.key)) continue
    if (each.attempt === 0 && each.dueAt > now) continue
    heads.set(each.key, each)
  }
  return new Set([...heads.values()].filter(({ dueAt }) => dueAt <= now).map(({ id }) => id))
}

function task(id: number, key: string, more: Partial<LaneTask> = {}): LaneTask {
  return { id: String(id), key, prio: 5, attempt: 0, dueAt: -Infinity, ...more }
}

function byId(a: LaneTask, b: LaneTask): number {
  return Number(a.id) - Number(b.id)
}

function idsOf(tasks: readonly LaneTask[]): readonly string[] {
  return tasks.map(({ id }) => id)
}
