import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { tryLock, waitForLock } from '../../../../src/components/postgres/embedded/locks.ts'
import { hasCode } from '../../../../src/core/errors.ts'

async function lockPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-locks-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return join(directory, 'a.lock')
}

/** A process of its own that takes the lock, says so, and holds it. */
async function holder(t: TestContext, path: string, kind: 'shared' | 'exclusive') {
  const source = new URL('../../../../src/components/postgres/embedded/locks.ts', import.meta.url).href
  const program = `
    import { tryLock } from ${JSON.stringify(source)}
    const lock = await tryLock(${JSON.stringify(path)}, ${JSON.stringify(kind)})
    console.log(lock === undefined ? 'refused' : 'held')
    setInterval(() => lock, 1e6)`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await gone
  }
  t.after(kill)
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  return { said: said.toString().trim(), kill }
}

test('an exclusive lock of another process is refused, and free the moment that process is killed', async (t) => {
  const path = await lockPath(t)
  const other = await holder(t, path, 'exclusive')
  assert.equal(other.said, 'held')
  assert.equal(await tryLock(path, 'exclusive'), undefined)
  assert.equal(await tryLock(path, 'shared'), undefined)
  await other.kill()
  const lock = await tryLock(path, 'exclusive')
  assert.ok(lock)
  lock.release()
})

test('shared locks go together, and an exclusive one only when all of them are gone', async (t) => {
  const path = await lockPath(t)
  const other = await holder(t, path, 'shared')
  const mine = await tryLock(path, 'shared')
  assert.ok(mine)
  assert.equal(await tryLock(path, 'exclusive'), undefined)
  mine.release()
  assert.equal(await tryLock(path, 'exclusive'), undefined, 'the other process holds it still')
  await other.kill()
  const alone = await tryLock(path, 'exclusive')
  assert.ok(alone)
  alone.release()
  alone.release()
})

test('two holders in one process are as separate as two processes', async (t) => {
  const path = await lockPath(t)
  const [first, second] = [await tryLock(path, 'shared'), await tryLock(path, 'shared')]
  assert.ok(first && second)
  first.release()
  assert.equal(await tryLock(path, 'exclusive'), undefined)
  assert.equal((await holder(t, path, 'exclusive')).said, 'refused', 'releasing one kept the other')
  second.release()
})

test('a wait for a lock ends when the lock is released, and with the reason of its signal', async (t) => {
  const path = await lockPath(t)
  const held = await tryLock(path, 'exclusive')
  assert.ok(held)
  const controller = new AbortController()
  const aborted = waitForLock(path, controller.signal)
  const reason = new Error('enough')
  controller.abort(reason)
  await assert.rejects(aborted, reason)
  const waiting = waitForLock(path, new AbortController().signal)
  held.release()
  const lock = await waiting
  lock.release()
})

test('a symbolic link in the place of a lock is refused and not followed', async (t) => {
  const path = await lockPath(t)
  const elsewhere = `${path}.elsewhere`
  await symlink(elsewhere, path)
  await assert.rejects(tryLock(path, 'exclusive'), (error) => hasCode(error, 'SLUICE_STORE_LOCKED'))
  await assert.rejects(stat(elsewhere), 'nothing was created behind the link')
})

test('a lock in a directory that is not there fails with its path', async (t) => {
  const path = `${await lockPath(t)}/none/a.lock`
  await assert.rejects(tryLock(path, 'exclusive'), (error) => {
    assert.ok(hasCode(error, 'SLUICE_STORE_FAILED'))
    assert.match(error.message, /none\/a\.lock/)
    return true
  })
})
