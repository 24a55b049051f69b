/** How long a start may take. The limits are many times what it takes, so that only a regression crosses them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startUser, temporaryDirectory } from './support/harness.ts'

const FIRST_MS = 10_000
const LATER_MS = 3_000

test('the first start of a server takes less than ten seconds, a later one less than three', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const first = startUser(t, { dataDir })
  const made = await first.next('ready')
  assert.ok(made.ms < FIRST_MS, `the first start took ${made.ms} ms`)
  await first.release()
  for (let start = 2; start <= 4; start += 1) {
    const later = startUser(t, { dataDir })
    const { ms, inspection } = await later.next('ready')
    assert.notEqual(inspection.pid, made.inspection.pid, 'another server, started anew')
    // A first start makes the database as well, so that on a busy machine it is the measure of a later one.
    assert.ok(ms < Math.max(LATER_MS, made.ms), `start ${start} took ${ms} ms`)
    t.diagnostic(`start ${start}: ${Math.round(ms)} ms`)
    await later.release()
  }
  t.diagnostic(`first start: ${Math.round(made.ms)} ms`)
})
