/** What `kill -9` does to the app, to the server, to both, and in the middle of the first start. */
import assert from 'node:assert/strict'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { killAndWait, query, serversOn, startUser, temporaryDirectory, until } from './support/harness.ts'

/** More for a soak: SLUICE_KILL_ROUNDS=100. */
const ROUNDS = Number(process.env['SLUICE_KILL_ROUNDS'] ?? 5)
const USABLE_WITHIN_MS = 2_000

test('the server of a killed process is adopted by the next one, which stops it', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const first = startUser(t, { dataDir })
  const { inspection } = await first.next('ready')
  await first.kill()
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [inspection.pid], 'the server goes on')
  const second = startUser(t, { dataDir })
  const adopted = await second.next('ready')
  assert.equal(adopted.inspection.pid, inspection.pid)
  assert.equal(adopted.inspection.users, 1, 'the mark of the killed process is gone')
  await second.release()
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
})

test('a process that did not start the server notices its death and gets a new one', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const starter = startUser(t, { dataDir })
  const adopter = startUser(t, { dataDir })
  const [{ inspection, connection }] = await Promise.all([starter.next('ready'), adopter.next('ready')])
  await query(connection, 'create table kept as select 42 as answer')
  await killAndWait(inspection.pid)
  await Promise.all([starter.next('exit'), adopter.next('exit')])
  // Both still hold handles of the dead server, which count for nothing: they neither keep nor stop the next one.
  const next = startUser(t, { dataDir })
  const { connection: again } = await next.next('ready')
  await Promise.all([starter.release(), adopter.release()])
  assert.deepEqual(await query(again, 'select answer from kept'), [{ answer: 42 }])
  await next.release()
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
})

test(`committed rows survive ${ROUNDS} kills of process and server, usable again within 2 s`, async (t) => {
  const dataDir = await temporaryDirectory(t)
  let user = startUser(t, { dataDir })
  let ready = await user.next('ready')
  // On a busy machine everything takes longer. A first start does more than any later one.
  const usableWithinMs = Math.max(USABLE_WITHIN_MS, ready.ms)
  // In a soak of many minutes the machine may have a bad one.
  let lateOnes = 0
  await query(ready.connection, 'create table entries (round int primary key)')
  for (let round = 0; round < ROUNDS; round++) {
    await query(ready.connection, `insert into entries values (${round})`)
    const { pid } = ready.inspection
    // The app, the server, both; both also while a statement is under way.
    const busy = round % 4 === 3 ? query(ready.connection, 'select pg_sleep(60)').catch(() => {}) : undefined
    if (busy !== undefined) await backendIsSleeping(ready.connection)
    if (round % 4 !== 1) await user.kill()
    if (round % 4 !== 0) await killAndWait(pid)
    await busy
    const next = startUser(t, { dataDir })
    const again = await next.next('ready')
    if (again.ms >= usableWithinMs) lateOnes += 1
    assert.ok(lateOnes <= ROUNDS / 20, `round ${round}: usable after ${Math.round(again.ms)} ms`)
    assert.equal(again.inspection.pid === pid, round % 4 === 0, 'adopted when alive, replaced when dead')
    await user.kill()
    user = next
    ready = again
    const [row] = await query(ready.connection, 'select count(*)::int as n from entries')
    assert.equal(row?.['n'], round + 1)
  }
  await user.release()
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [])
})

function backendIsSleeping(connection: Parameters<typeof query>[0]): Promise<void> {
  return until(async () => {
    const rows = await query(connection, `select from pg_stat_activity where wait_event = 'PgSleep'`)
    return rows.length === 1
  }, 'the statement runs')
}

test('a process killed at any moment of the first start leaves a directory that the next one starts on', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const whole = startUser(t, { dataDir: join(dataDir, 'whole') })
  const wholeMs = (await whole.next('ready')).ms
  await whole.release()
  // Each is a whole first start, so that a hundred take longer than a test may.
  const kills = Math.max(8, Math.min(20, ROUNDS))
  let unfinished = 0
  async function killAt(index: number): Promise<void> {
    const directory = join(dataDir, `kill-${index}`)
    const victim = startUser(t, { dataDir: directory })
    await victim.next('progress')
    // The moment is the matter of this test, so it is a time: spread over the length of a start.
    await new Promise((resolve) => setTimeout(resolve, (wholeMs * index) / kills))
    await victim.kill()
    if (!(await readdir(directory)).includes('data')) unfinished++
    const next = startUser(t, { dataDir: directory })
    const { connection } = await next.next('ready')
    assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }])
    await next.release()
    assert.deepEqual(await serversOn(join(directory, 'data')), [])
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
  // Two at a time, as each mostly waits.
  for (let index = 0; index < kills; index += 2) await Promise.all([killAt(index), killAt(index + 1)])
  assert.ok(unfinished > 0, 'at least one kill fell into initdb')
})
