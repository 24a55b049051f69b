/** A run that failed is tried again when its back-off is over, not when the poll comes round. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durableDatabase } from '../support/durable-database.ts'
import { Ledger, openNode, watchedClock } from './cluster-support.ts'

const options = { timeout: 240_000 }
const POLL_MS = 29_999

test('a run is tried again when it is due, though the poll never comes', options, async () => {
  await using own = await durableDatabase()
  const attempts = new Ledger()
  await using node = await openNode(
    own.dsn,
    (api) =>
      api.schedule(
        'flaky',
        '@yearly',
        ({ attempt }) => {
          attempts.add(String(attempt))
          if (attempt < 3) throw new Error('not yet')
        },
        { retries: 2 },
      ),
    { pollInterval: `${POLL_MS}ms`, clock: watchedClock((ms) => ms !== POLL_MS) },
  )
  await node.api.runNow('flaky')
  await attempts.until((lines) => lines.includes('3'))
  assert.deepEqual(attempts.lines, ['1', '2', '3'])
})
