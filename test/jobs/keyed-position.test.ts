/** Reading ahead while transactions commit in any order: everything once, nothing left out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Position } from '../../src/engine/tasks/keyed-position.ts'
import type { KeyedRow } from '../../src/engine/tasks/keyed.ts'

/** A transaction: it has its own id from the start, and holds the ids of tasks that it put in. */
interface Writer {
  readonly xid: number
  readonly ids: number[]
  state: 'open' | 'committed' | 'undone'
}

/**
 * The database, as far as the reader can tell: transactions that begin, insert and end in any order, and snapshots of
 * which of them had ended.
 */
class Model {
  readonly writers: Writer[] = []
  #xid = 100
  #id = 0

  begin(): void {
    this.writers.push({ xid: this.#xid++, ids: [], state: 'open' })
  }

  insert(writer: Writer): void {
    writer.ids.push(++this.#id)
  }

  get open(): readonly Writer[] {
    return this.writers.filter(({ state }) => state === 'open')
  }

  /** As READ_AHEAD does it. */
  read(position: Position, limit: number): readonly number[] {
    const from = position.from(0, limit)
    const seen = from.seen === null ? undefined : new Set<number>(JSON.parse(from.seen) as number[])
    const committed = this.writers.filter(({ state }) => state === 'committed')
    const visible = committed.flatMap(({ xid, ids }) => ids.map((id) => ({ id, xid })))
    visible.sort((a, b) => a.id - b.id)
    const gap = visible.filter(
      ({ id, xid }) => id > from.gapFrom && id <= from.after && seen !== undefined && !seen.has(xid),
    )
    const head = visible.filter(({ id }) => id > from.after).slice(0, limit)
    const rows = [...gap, ...head].map(({ id }) => row(id))
    position.moved(rows, limit, {
      snap: JSON.stringify(committed.map(({ xid }) => xid)),
      xmin: String(Math.min(this.#xid, ...this.open.map(({ xid }) => xid))),
      above: rows.length > 0 ? String(this.#xid++) : null,
    })
    return rows.map(({ id }) => Number(id))
  }
}

test('whatever order transactions commit in, each task is read once, and none is left out', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          { weight: 2, arbitrary: fc.constant({ do: 'begin', which: 0 } as const) },
          { weight: 4, arbitrary: fc.record({ do: fc.constant('insert' as const), which: fc.nat(9) }) },
          { weight: 2, arbitrary: fc.record({ do: fc.constant('commit' as const), which: fc.nat(9) }) },
          { weight: 1, arbitrary: fc.record({ do: fc.constant('undo' as const), which: fc.nat(9) }) },
          { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), which: fc.nat(3) }) },
        ),
        { maxLength: 200, size: 'max' },
      ),
      (steps) => {
        const model = new Model()
        const position = new Position()
        const read: number[] = []
        for (const step of steps) {
          const writer = model.open[step.which % Math.max(1, model.open.length)]
          if (step.do === 'begin') model.begin()
          else if (step.do === 'read') read.push(...model.read(position, step.which))
          else if (writer === undefined) continue
          else if (step.do === 'insert') model.insert(writer)
          else writer.state = step.do === 'commit' ? 'committed' : 'undone'
        }
        for (const writer of model.open) writer.state = 'committed'
        for (let round = 0; round < 200; round++) read.push(...model.read(position, 2))
        const all = model.writers.filter(({ state }) => state === 'committed').flatMap(({ ids }) => ids)
        assert.deepEqual(
          read.toSorted((a, b) => a - b),
          all.toSorted((a, b) => a - b),
        )
        // With nothing open the gap is closed.
        const { gapFrom, after } = position.from(0, 1)
        assert.equal(gapFrom, after)
      },
    ),
    { numRuns: 300 },
  )
})

test('a sweep walks through everything that was read', () => {
  const position = new Position()
  position.moved([row(7)], 1, { snap: '1', xmin: '9', above: '9' })
  assert.equal(position.from(0, 1).gapFrom, 7)
  position.sweep()
  assert.equal(position.from(0, 1).gapFrom, 0)
  position.moved([], 1, { snap: '1', xmin: '9', above: null })
  assert.equal(position.from(0, 1).gapFrom, 7)
})

function row(id: number): KeyedRow {
  return { id: String(id), shard: 0, key: 'k', name: null, prio: 5, attempt: 0, held: false, dueIn: 0 }
}
