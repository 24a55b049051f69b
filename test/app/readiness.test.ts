import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  healthCode,
  healthWord,
  readiness,
  READY_STATUS,
  type Gate,
  type ReadinessInput,
} from '../../src/app/health.ts'
import { Hysteresis } from '../../src/app/phase.ts'

const input = (rest: Partial<ReadinessInput>): ReadinessInput => ({
  started: true,
  draining: false,
  sinceStartMs: 1_000,
  maxStartupMs: 30_000,
  components: [],
  startsPending: false,
  ...rest,
})
const part = (gate: Gate, everUp: boolean, up: boolean) => ({ gate, everUp, up })

test('readiness follows the table', () => {
  const table: readonly (readonly [Partial<ReadinessInput>, string, number])[] = [
    [{ started: false }, 'starting', 503],
    [{}, 'ready', 200],
    [{ draining: true }, 'draining', 503],
    [{ components: [part('startup', false, false)] }, 'starting', 503],
    [{ components: [part('startup', false, false)], sinceStartMs: 30_000 }, 'degraded', 200],
    [{ components: [part('startup', true, false)] }, 'degraded', 200],
    [{ components: [part('never', false, false)] }, 'degraded', 200],
    [{ components: [part('always', false, false)], sinceStartMs: 60_000 }, 'starting', 503],
    [{ components: [part('always', true, false)] }, 'unavailable', 503],
    [{ components: [part('always', true, true), part('startup', true, true)] }, 'ready', 200],
    [{ draining: true, components: [part('always', true, true)] }, 'draining', 503],
    [{ startsPending: true }, 'starting', 503],
    [{ startsPending: true, sinceStartMs: 30_000 }, 'degraded', 200],
    [{ startsPending: true, components: [part('never', true, true)] }, 'starting', 503],
    [{ startsPending: true, components: [part('always', true, false)] }, 'unavailable', 503],
    [{ startsPending: true, draining: true }, 'draining', 503],
  ]
  for (const [given, expected, status] of table) {
    assert.equal(readiness(input(given)), expected)
    assert.equal(READY_STATUS[readiness(input(given))], status)
  }
})

test('/health says down or draining with 503 and everything else with 200', () => {
  const words = (['ready', 'degraded', 'starting', 'unavailable', 'draining'] as const).map((state) =>
    healthWord(state),
  )
  assert.deepEqual(words, ['ok', 'degraded', 'starting', 'down', 'draining'])
  assert.deepEqual(words.map(healthCode), [200, 200, 200, 503, 503])
})

test('a verdict needs three failures to fall and two successes to rise, but the first success of all counts', () => {
  const verdict = new Hysteresis(3, 2)
  assert.equal(verdict.up, false)
  verdict.good()
  assert.equal(verdict.up, true)
  for (let index = 0; index < 10; index++) {
    verdict.bad()
    verdict.bad()
    verdict.good()
    assert.equal(verdict.up, true)
  }
  for (let index = 0; index < 3; index++) verdict.bad()
  assert.equal(verdict.up, false)
  for (let index = 0; index < 10; index++) {
    verdict.good()
    verdict.bad()
    assert.equal(verdict.up, false)
  }
  verdict.good()
  verdict.good()
  assert.equal(verdict.up, true)
})
