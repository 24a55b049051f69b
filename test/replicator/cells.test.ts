/** Slots whose entity lies in memory that is used again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cells } from '../../src/replicator/lanes/cells.ts'
import type { Slot } from '../../src/replicator/lanes/slot.ts'

const at = (seq: number) => ({ ms: 1, seq })

/** Begins a slot with this id and entity, as a lane does. */
function begun(cells: Cells, id: string, json: string, seq: number): Slot {
  const bytes = Buffer.from(id + json)
  const slot = cells.take(bytes.length)!
  slot.begin(bytes, 0, id.length, id.length, bytes.length, at(seq), 0, 7)
  bytes.fill('!')
  return slot
}

const shown = ({ id, kind, json, at: { seq } }: Slot) => ({ id, kind, json, seq })

test('what was given back is taken again, with nothing of what was in it', () => {
  const cells = new Cells()
  const first = begun(cells, 'one', '{"a":"ü"}', 1)
  assert.deepEqual(shown(first), { id: 'one', kind: 'full', json: '{"a":"ü"}', seq: 1 })
  first.put('delete', '', undefined, at(2), false, false)
  first.messages = 9
  cells.give(first)
  const second = begun(cells, 'another', '{}', 3)
  assert.equal(second, first)
  assert.deepEqual(shown(second), { id: 'another', kind: 'full', json: '{}', seq: 3 })
  assert.equal(second.messages, 1)
})

test('no two slots share memory, whatever their sizes', () => {
  const cells = new Cells()
  const jsons = [10, 400, 501, 502, 503, 1_500, 2_043, 2_044, 2_045, 8_000, 8_187].flatMap((length) =>
    Array.from({ length: 150 }, (_, n) => `{"n":"${String(n).padStart(length - 8, '-')}"}`),
  )
  const slots = jsons.map((json, n) => begun(cells, `k${n}`, json, n + 1))
  for (const [n, slot] of slots.entries())
    assert.deepEqual(shown(slot), { id: `k${n}`, kind: 'full', json: jsons[n], seq: n + 1 })
})

test('there is no memory for what is larger than the largest', () => {
  assert.equal(new Cells().take(8_193), undefined)
})

test('a newer state takes the place of one in memory where it has room, and of any as a text', () => {
  const cells = new Cells()
  const slot = begun(cells, 'k', '{"a":1}', 1)
  const larger = `{"b":"${'x'.repeat(400)}"}`
  assert.equal(slot.putBytes(Buffer.from(larger), 0, larger.length, at(2)), 'stored')
  assert.equal(slot.json, larger)
  assert.equal(slot.putBytes(Buffer.from('{}'), 0, 2, at(1)), 'older')
  const tooLarge = `{"c":"${'x'.repeat(600)}"}`
  assert.equal(slot.putBytes(Buffer.from(tooLarge), 0, tooLarge.length, at(3)), undefined)
  assert.deepEqual(shown(slot), { id: 'k', kind: 'full', json: larger, seq: 2 })
  assert.equal(slot.put('full', tooLarge, undefined, at(3), false, false), 'stored')
  assert.deepEqual(shown(slot), { id: 'k', kind: 'full', json: tooLarge, seq: 3 })
  assert.equal(slot.utf8, undefined)
  assert.equal(slot.putBytes(Buffer.from('{"d":4}'), 0, 7, at(4)), 'stored')
  assert.deepEqual(shown(slot), { id: 'k', kind: 'full', json: '{"d":4}', seq: 4 })
})

test('partials are merged into a state in memory, and a state there is put on what was put together', () => {
  const cells = new Cells()
  const slot = begun(cells, 'k', '{"a":1,"b":2}', 1)
  assert.equal(slot.put('partial', '{"a":null,"c":3}', undefined, at(2), false, false), 'stored')
  assert.deepEqual(shown(slot), { id: 'k', kind: 'full', json: '{"b":2,"c":3}', seq: 2 })
  assert.equal(slot.utf8, undefined)
  const newer = begun(cells, 'k', '{"e":5}', 3)
  assert.equal(slot.absorb(newer, false), 'stored')
  assert.deepEqual(shown(slot), { id: 'k', kind: 'full', json: '{"e":5}', seq: 3 })
})
