/** Deliveries on their way into the task table. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { spillEvents } from '../../../src/engine/log/spill.ts'
import { ownTables, worker } from '../tasks-support.ts'

test('a delivery with more attempts than the column holds is a dead letter with as many as it does', async () => {
  await using own = await ownTables()
  const { db } = own
  const owner = await worker(db)
  await db.execute(`insert into sluice.lease (kind, ref, shard, owner, epoch) values ('s', 1, 0, $1, 1)`, [
    owner,
  ])
  const made = await spillEvents(db, 1, { ref: 1, shard: 0, owner, epoch: '1' }, [
    {
      row: { id: '7', topic: 1, version: 1, at: 0, key: null, head: null, body: '{}' },
      topic: 'todo.created',
      attempt: 90_000,
      maxAttempt: 90_001,
      delayMs: 0,
      errors: [{ attempt: 90_000, error: 'too large' }],
      ordered: false,
      why: 'too large',
    },
  ])
  assert.deepEqual([...(made ?? [])], [])
  const rows = await db.query(
    `select attempt, max_attempt, errs -> 0 -> 'attempt' as told, why from sluice.dead`,
  )
  assert.deepEqual(rows, [{ attempt: 32_767, max_attempt: 32_767, told: 32_767, why: 'too large' }])
})
