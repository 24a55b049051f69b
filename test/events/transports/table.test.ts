/** The table of features: what the command prints and what the guide says is what the data says. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FEATURES, TRANSPORTS, type Feature, type Transport } from '../../../src/events/index.ts'
import { inProcess } from '../../cli/command.ts'

const names = Object.keys(TRANSPORTS) as Transport[]
const features = Object.keys(FEATURES) as Feature[]

test('sluice events transports prints a line for each feature, and asks no database', async () => {
  const { code, out } = await inProcess(['events', 'transports'], {})
  assert.equal(code, 0)
  const [head = '', ...lines] = out.trimEnd().split('\n')
  assert.deepEqual(head.trim().split(/\s+/), names)
  assert.equal(lines.length, features.length)
  for (const [index, feature] of features.entries()) {
    const cells = lines[index]!.trim().split(/\s{2,}/)
    assert.equal(cells[0], FEATURES[feature].replaceAll('`', ''))
    assert.deepEqual(
      cells.slice(1),
      names.map((name) => (TRANSPORTS[name][feature] ? 'yes' : 'no')),
    )
  }
})

test('with --json it prints the data', async () => {
  const { code, out } = await inProcess(['events', 'transports', '--json'], {})
  assert.equal(code, 0)
  assert.deepEqual(
    JSON.parse(out),
    JSON.parse(JSON.stringify({ features: FEATURES, transports: TRANSPORTS })),
  )
})

test('the guide has the same table', () => {
  const guide = readFileSync(new URL('../../../docs/guides/transports.md', import.meta.url), 'utf8')
  const rows = guide
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
  for (const feature of features) {
    const row = rows.find(([first]) => first === FEATURES[feature])
    assert.deepEqual(
      row?.slice(1),
      names.map((name) => (TRANSPORTS[name][feature] ? 'yes' : '-')),
      feature,
    )
  }
})
