import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Line } from '../../../src/components/postgres/line.ts'

test('asking whether a few wait looks at a few, whoever else stands in the line', () => {
  let looks = 0
  const line = new Line<{ done: boolean }>((entry) => {
    looks++
    return entry.done
  })
  const entries = Array.from({ length: 10_000 }, () => ({ done: false }))
  for (const entry of entries) line.push(entry)
  assert.equal(line.lengthUpTo(4), 4)
  assert.ok(looks <= 4, `${looks} looks`)
  for (const entry of entries.slice(1, 9_998)) entry.done = true
  assert.equal(line.lengthUpTo(4), 3)
  assert.equal(line.length, 3)
  looks = 0
  assert.equal(line.lengthUpTo(4), 3)
  assert.equal(looks, 3)
})
