import assert from 'node:assert/strict'
import { test } from 'node:test'
import { check, failed, type Evidence } from '../../scripts/chaos/check.ts'
import type { Fact, How } from '../../scripts/chaos/record.ts'

const readers = [
  { name: 'plain', transactional: false, sees: ({ kind }: How) => kind === 'plain' },
  { name: 'tx', transactional: true, sees: ({ kind }: How) => kind === 'tx' },
  { name: 'keyed', transactional: false, sees: ({ kind }: How) => kind === 'keyed' },
]
const CLIENT = 1
const WORKER = 2
const OTHER = 3

/** A run in which all went well: 100 jobs of each kind, one kill between a start and the next. */
function goodRun(): { facts: Fact[]; rows: { id: string; by: string }[] } {
  const facts: Fact[] = []
  const rows: { id: string; by: string }[] = []
  let t = 0
  for (let i = 0; i < 100; i += 1) {
    const hand = (id: string, how: How): void => {
      facts.push(
        { t: (t += 1), pid: CLIENT, f: 'invoke', id, how },
        { t: (t += 1), pid: CLIENT, f: 'ok', id },
      )
    }
    hand(`p${i}`, { kind: 'plain' })
    hand(`t${i}`, { kind: 'tx' })
    hand(`k-${i}`, { kind: 'keyed', key: 'k-', seq: i })
    hand(`r${i}`, { kind: 'rolled-back' })
    for (const [by, id] of [
      ['plain', `p${i}`],
      ['tx', `t${i}`],
      ['keyed', `k-${i}`],
    ] as const) {
      facts.push({ t: (t += 1), pid: WORKER, f: 'start', id, by, attempt: 1 })
      if (by === 'tx') rows.push({ id, by })
      else facts.push({ t: (t += 1), pid: WORKER, f: 'effect', id, by })
      facts.push({ t: (t += 1), pid: WORKER, f: 'end', id, by })
    }
  }
  facts.push(
    { t: 10_000, pid: CLIENT, f: 'invoke', id: 'p100', how: { kind: 'plain' } },
    { t: 10_001, pid: CLIENT, f: 'ok', id: 'p100' },
    { t: 10_002, pid: WORKER, f: 'start', id: 'p100', by: 'plain', attempt: 1 },
    { t: 10_010, pid: WORKER, f: 'kill' },
    { t: 13_010, pid: OTHER, f: 'start', id: 'p100', by: 'plain', attempt: 2 },
    { t: 13_011, pid: OTHER, f: 'effect', id: 'p100', by: 'plain' },
    { t: 13_012, pid: OTHER, f: 'end', id: 'p100', by: 'plain' },
  )
  return { facts, rows }
}

const verdictOf = (run: Partial<Evidence>) =>
  check({ ...goodRun(), readers, drained: true, crashes: [], ...run })
const without = (matches: (fact: Fact) => boolean): Partial<Evidence> => ({
  facts: goodRun().facts.filter((fact) => !matches(fact)),
})

test('a run in which all went well passes, and says how long the killed job waited', () => {
  const verdict = verdictOf({})
  assert.equal(failed(verdict), false)
  assert.equal(verdict.acked, 401)
  assert.equal(verdict.kills, 1)
  assert.equal(verdict.repeatedStarts, 1)
  assert.deepEqual(verdict.recovery, { count: 1, p50: 3_000, p99: 3_000, max: 3_000 })
})

test('an acknowledged job without its effect is lost', () => {
  const verdict = verdictOf(without((fact) => fact.f === 'effect' && fact.id === 'p7'))
  assert.deepEqual(verdict.lost, ['plain p7'])
  assert.equal(failed(verdict), true)
  const rows = goodRun().rows.filter(({ id }) => id !== 't7')
  assert.deepEqual(verdictOf({ rows }).lost, ['tx t7'])
})

test('a job that was never acknowledged may be there or not', () => {
  const verdict = verdictOf(
    without((fact) => (fact.f === 'ok' || fact.f === 'effect') && 'id' in fact && fact.id === 'p7'),
  )
  assert.deepEqual(verdict.lost, [])
  assert.equal(verdict.unknown, 1)
})

test('an effect in a transaction that happened twice is found, one in the ledger may repeat', () => {
  const { rows, facts } = goodRun()
  const twice = verdictOf({ rows: [...rows, { id: 't3', by: 'tx' }] })
  assert.deepEqual(twice.duplicateEffects, ['tx t3'])
  assert.equal(failed(twice), true)
  const again: Fact = { t: 20_000, pid: OTHER, f: 'effect', id: 'p3', by: 'plain' }
  assert.equal(failed(verdictOf({ facts: [...facts, again] })), false)
})

test('what was rolled back, or never handed in, must not run', () => {
  const { facts } = goodRun()
  const start = (id: string): Fact => ({ t: 20_000, pid: OTHER, f: 'start', id, by: 'plain', attempt: 1 })
  assert.deepEqual(verdictOf({ facts: [...facts, start('r3')] }).phantoms, ['r3'])
  assert.deepEqual(verdictOf({ facts: [...facts, start('nobody')] }).phantoms, ['nobody'])
})

test('a job of a key that begins before the one before it had its effect is out of order', () => {
  const { facts } = goodRun()
  const at = facts.findIndex((fact) => fact.f === 'effect' && fact.id === 'k-5')
  const [effect] = facts.splice(at, 1)
  const after = facts.findIndex((fact) => fact.f === 'start' && fact.id === 'k-6')
  facts.splice(after + 1, 0, effect as Fact)
  assert.deepEqual(verdictOf({ facts }).inversions, ['keyed k-6'])
})

test('a run without a fault, with too little or with work left proves nothing', () => {
  assert.match(verdictOf(without((fact) => fact.f === 'kill')).invalid.join(), /no fault fired/)
  assert.match(verdictOf({ drained: false }).invalid.join(), /work was left/)
  assert.match(verdictOf({ facts: [], rows: [] }).invalid.join(), /only 0 operations/)
})

test('a process that ended by itself fails the run', () => {
  assert.equal(failed(verdictOf({ crashes: ['1: TypeError'] })), true)
})

test('a job that was given back at a stop is timed from then on', () => {
  const { facts } = goodRun()
  const given: Fact[] = [
    { t: 20_000, pid: CLIENT, f: 'invoke', id: 'p101', how: { kind: 'plain' } },
    { t: 20_001, pid: CLIENT, f: 'ok', id: 'p101' },
    { t: 20_002, pid: WORKER, f: 'start', id: 'p101', by: 'plain', attempt: 1 },
    { t: 20_003, pid: WORKER, f: 'term' },
    { t: 20_100, pid: WORKER, f: 'released', id: 'p101', by: 'plain' },
    { t: 20_900, pid: OTHER, f: 'start', id: 'p101', by: 'plain', attempt: 1 },
    { t: 20_901, pid: OTHER, f: 'effect', id: 'p101', by: 'plain' },
    { t: 20_902, pid: OTHER, f: 'end', id: 'p101', by: 'plain' },
  ]
  const verdict = verdictOf({ facts: [...facts, ...given] })
  assert.equal(failed(verdict), false)
  assert.deepEqual(verdict.recoveryReleased, { count: 1, p50: 800, p99: 800, max: 800 })
  assert.equal(verdict.stops, 1)
})
