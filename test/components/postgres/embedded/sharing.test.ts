import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { serversOn, query, startUser, temporaryDirectory } from './support/harness.ts'

test('four processes that start at once share one server, and the last one out stops it', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const users = [1, 2, 3, 4].map(() => startUser(t, { dataDir }))
  const ready = await Promise.all(users.map((user) => user.next('ready')))
  const servers = await serversOn(join(dataDir, 'data'))
  assert.equal(servers.length, 1)
  for (const { inspection, connection } of ready) {
    assert.equal(inspection.pid, servers[0])
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }])
  }
  for (const user of users.slice(1)) await user.release()
  assert.deepEqual(await query(ready[0]!.connection, 'select 1 as one'), [{ one: 1 }], 'one user is left')
  await users[0]!.release()
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
  await assert.rejects(stat(join(dataDir, 'data', 'postmaster.pid')), 'the server went by itself')
})

test('a process that joins while the last one leaves gets a running server', async (t) => {
  const dataDir = await temporaryDirectory(t)
  let leaving = startUser(t, { dataDir })
  await leaving.next('ready')
  for (let round = 0; round < 5; round++) {
    const joining = startUser(t, { dataDir })
    // Nothing orders the two: the joining process takes its lock somewhere in the middle of the leave.
    await Promise.all([leaving.release(), joining.next('ready')])
    const { connection } = await joining.next('ready')
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }])
    leaving = joining
  }
  await leaving.release()
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
})
