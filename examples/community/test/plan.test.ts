/** What a town will do comes from its seed; what the command line asks for is checked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from 'sluice/testing'
import { parseArguments } from '../arguments.ts'
import { nextAction, planTown, type Action } from '../load/plan.ts'

test('the same seed makes the same plan, another one another', () => {
  const plan = (seed: number): readonly [unknown, readonly Action[]] => {
    const random = seededRandom(seed)
    const town = planTown(60, 'x1', random)
    return [town, Array.from({ length: 500 }, () => nextAction(town, random))]
  }
  assert.deepEqual(plan(7), plan(7))
  assert.notDeepEqual(plan(7), plan(8))
  const kinds = new Set(plan(7)[1].map(({ kind }) => kind))
  assert.equal(kinds.size, 11)
})

test('everybody follows the first, nobody themselves, and names are those that are taken', () => {
  const town = planTown(200, 'mi3k2', seededRandom(1))
  assert.equal(town.follows.filter(({ whom }) => whom === 0).length, 199)
  assert.ok(town.follows.every(({ who, whom }) => who !== whom))
  assert.equal(new Set(town.names).size, 200)
  for (const name of town.names) assert.match(name, /^[a-z][a-z0-9_]{1,29}$/)
})

test('the command line: what is left out has a default, what is wrong is named', () => {
  assert.deepEqual(parseArguments([]), { command: 'serve', workers: 1 })
  const defaults = { users: 200, rate: 200, seconds: 20, seed: 1, workers: 2, kills: 0 }
  assert.deepEqual(parseArguments(['load']), { command: 'load', ...defaults })
  assert.deepEqual(parseArguments(['load', '--seed', '0', '--kills=3']), {
    command: 'load',
    ...defaults,
    seed: 0,
    kills: 3,
  })
  assert.deepEqual(parseArguments(['load', '--help']), { help: true })
  for (const [words, said] of [
    [['lod'], /no command "lod"/],
    [['load', 'more'], /no command "load more"/],
    [['--users', '5'], /--users is an option of load/],
    [['load', '--rate', '0'], /--rate: expected a whole number from 1 to 100000, got "0"/],
    [['load', '--rate', ''], /--rate: expected/],
    [['load', '--speed', '3'], /--speed/],
  ] as const) {
    const options = parseArguments(words)
    assert.ok('fault' in options, words.join(' '))
    assert.match(options.fault, said)
  }
})
