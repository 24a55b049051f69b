/** The rolling restart: once round over real processes, and a checker that sees what is wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compare } from '../../scripts/chaos/rolling/check.ts'
import { rollingFailed } from '../../scripts/chaos/rolling/report.ts'
import { runRolling, type RollingReport } from '../../scripts/chaos/rolling/run.ts'
import { serverAt } from '../support/servers.ts'

const server = await serverAt('postgres')
const taken = ['c0-0', 'c0-1', 'c1-0']
const effects = [
  { id: 'c0-0', customer: 'c0' },
  { id: 'c1-0', customer: 'c1' },
  { id: 'c0-1', customer: 'c0' },
]
const nothing = { lost: [], doubles: [], phantoms: [], inversions: [] }
const none: ReadonlySet<string> = new Set()

test('the checker of rolling restarts finds what is lost, done twice, made up, or out of order', () => {
  assert.deepEqual(compare(taken, effects, taken, none), nothing)
  assert.deepEqual(compare(taken, effects.slice(0, 2), taken, none), { ...nothing, lost: ['c0-1'] })
  assert.deepEqual(compare(taken, effects, taken.slice(1), none).lost, ['c0-0'])
  assert.deepEqual(compare(taken, [...effects, effects[2]!], taken, none).doubles, ['c0-1'])
  const extra = { id: 'c2-0', customer: 'c2' }
  assert.deepEqual(compare(taken, [...effects, extra], taken, none).phantoms, ['c2-0'])
  assert.deepEqual(compare(taken, [...effects, extra], taken, new Set(['c2-0'])), nothing)
  assert.deepEqual(compare(taken, effects.toReversed(), taken, none).inversions, ['c0-0'])
})

test('a run with any fault, or one that proves nothing, has failed', () => {
  const good: RollingReport = {
    restarts: 1,
    seconds: 1,
    orders: 200,
    slots: 9,
    slotsTwice: 0,
    failed: [],
    badExits: [],
    ...nothing,
  }
  assert.equal(rollingFailed(good), false)
  for (const part of ['failed', 'badExits', 'lost', 'doubles', 'phantoms', 'inversions']) {
    assert.equal(rollingFailed({ ...good, [part]: ['x'] }), true, part)
  }
  assert.equal(rollingFailed({ ...good, slotsTwice: 1 }), true)
  assert.equal(rollingFailed({ ...good, orders: 99 }), true)
  assert.equal(rollingFailed({ ...good, slots: 0 }), true)
})

test('while the processes of a service are restarted by turns no request fails, and all is done once, in order', async () => {
  const dsn = server.skip === false ? server.url : undefined
  const report = await runRolling({ restarts: 1, replicas: 2, customers: 8, dsn, log: () => {} })
  const { failed, badExits, lost, doubles, phantoms, inversions, slotsTwice } = report
  assert.deepEqual([failed, badExits], [[], []])
  assert.deepEqual({ lost, doubles, phantoms, inversions }, nothing)
  assert.equal(slotsTwice, 0)
  assert.ok(report.orders > 0 && report.slots > 0)
})
