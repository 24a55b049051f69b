import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultsOf } from '../../scripts/chaos/faults.ts'

const countOf = ([kills, freezes, stops]: readonly [number, number, number]): readonly number[] => {
  const faults = [...faultsOf({ kills, freezes, stops })]
  return ['kill', 'freeze', 'stop'].map((kind) => faults.filter((fault) => fault === kind).length)
}

test('a run has as many faults of each kind as it was asked for', () => {
  for (const counts of [
    [1, 1, 1],
    [5, 1, 2],
    [7, 7, 0],
    [1_000, 30, 50],
    [333, 17, 32],
  ] as const) {
    assert.deepEqual(countOf(counts), counts)
  }
})

test('freezes come first and then evenly, so that the last one does not prolong the run', () => {
  const faults = [...faultsOf({ kills: 100, freezes: 4, stops: 0 })]
  const at = faults.flatMap((fault, index) => (fault === 'freeze' ? [index] : []))
  assert.equal(at[0], 0)
  assert.ok((at[3] ?? 0) < 85, `the last is at ${at[3]}`)
})
