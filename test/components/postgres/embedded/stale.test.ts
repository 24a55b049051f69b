/** postmaster.pid says that a server runs. Whether one does is another matter. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isAlive } from '../../../../src/components/postgres/embedded/process-facts.ts'
import { atEnd, query, serversOn, startUser, temporaryDirectory, until, useHere } from './support/harness.ts'

/** A database that was stopped in order, with one row. */
async function stoppedDatabase(t: TestContext): Promise<string> {
  const dataDir = await temporaryDirectory(t)
  const user = useHere(t, { dataDir })
  const { connection } = await user.next('ready')
  await query(connection, 'create table kept as select 42 as answer')
  await user.release()
  return dataDir
}

async function deadPid(): Promise<number> {
  const child = spawn('true')
  await once(child, 'exit')
  return child.pid ?? 0
}

const CLAIMS: readonly (readonly [string, () => Promise<string>])[] = [
  ['a dead process', async () => String(await deadPid())],
  ['a process id that another program has now', async () => String(process.pid)],
  ['a stand-alone backend, by a negative number, that is gone', async () => String(-(await deadPid()))],
  ['nothing at all, being empty', async () => ''],
  ['garbage', async () => '\0\0not a number'],
]

test('a postmaster.pid that names no living server is taken over', async (t) => {
  const dataDir = await stoppedDatabase(t)
  for (const [what, claim] of CLAIMS) {
    const pid = await claim()
    await writeFile(
      join(dataDir, 'data', 'postmaster.pid'),
      pid === '' ? '' : `${pid}\n${dataDir}/data\n1\n5432\n.\n\n  2163720        17\nready   \n`,
    )
    await writeFile(join(dataDir, 'data', '.s.PGSQL.5432.lock'), `${pid}\n`)
    const user = useHere(t, { dataDir })
    const { connection } = await user.next('ready')
    assert.deepEqual(await query(connection, 'select answer from kept'), [{ answer: 42 }], what)
    await user.release()
  }
})

/** The last command line of the server in this directory, less what marks it as ours. */
async function startByHand(t: TestContext, dataDir: string): Promise<number> {
  const data = join(dataDir, 'data')
  const runtime = JSON.parse(await readFile(join(dataDir, 'runtime.json'), 'utf8')) as {
    runtime: { binaries: { postgres: string }; runAs: { way: string; uid?: number; gid?: number } }
  }
  const { binaries, runAs } = runtime.runtime
  const child = spawn(binaries.postgres, ['-D', data, '-k', '.', '-c', 'listen_addresses='], {
    cwd: data,
    ...(runAs.way === 'setuid' ? { uid: runAs.uid, gid: runAs.gid } : {}),
    stdio: 'ignore',
  })
  const gone = once(child, 'exit')
  atEnd(t, async () => {
    child.kill('SIGQUIT')
    await gone
  })
  await until(
    async () => (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).includes('ready'),
    'the server is ready',
  )
  return child.pid ?? 0
}

test('a living server that sluice did not start is refused by directory and process id, and left alone', async (t) => {
  const dataDir = await stoppedDatabase(t)
  const pid = await startByHand(t, dataDir)
  const failed = await useHere(t, { dataDir }).next('failed')
  assert.equal(failed.code, 'SLUICE_STORE_LOCKED')
  assert.ok(failed.message.includes(join(dataDir, 'data')), failed.message)
  assert.ok(failed.message.includes(String(pid)), failed.message)
  // Also when somebody deleted the file that names it.
  await rm(join(dataDir, 'data', 'postmaster.pid'))
  const again = await useHere(t, { dataDir }).next('failed')
  assert.equal(again.code, 'SLUICE_STORE_LOCKED')
  assert.ok(await isAlive(pid))
})

test('an app whose directory belongs to another server ends with 78, and says whose it is', async (t) => {
  const dataDir = await stoppedDatabase(t)
  const pid = await startByHand(t, dataDir)
  const program = join(import.meta.dirname, 'support/app-program.ts')
  const child = spawn(process.execPath, ['--conditions=sluice-source', program, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  atEnd(t, async () => void child.kill('SIGKILL'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const [code] = (await once(child, 'close')) as [number | null]
  assert.equal(code, 78, output)
  assert.match(output, /SLUICE_STORE_LOCKED/)
  assert.ok(output.includes(join(dataDir, 'data')) && output.includes(String(pid)), output)
  assert.ok(await isAlive(pid))
})

test('our own server whose postmaster.pid was deleted is replaced, with nothing lost', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const first = startUser(t, { dataDir })
  const { connection, inspection } = await first.next('ready')
  await query(connection, 'create table kept as select 42 as answer')
  await rm(join(dataDir, 'data', 'postmaster.pid'))
  const second = useHere(t, { dataDir })
  const ready = await second.next('ready')
  assert.notEqual(ready.inspection.pid, inspection.pid)
  assert.deepEqual(await query(ready.connection, 'select answer from kept'), [{ answer: 42 }])
  assert.equal((await serversOn(join(dataDir, 'data'))).length, 1)
  await first.next('exit')
  await Promise.all([first.release(), second.release()])
})

test('our own server whose socket was deleted is replaced', async (t) => {
  const dataDir = await temporaryDirectory(t)
  const first = useHere(t, { dataDir })
  await first.next('ready')
  await rm(join(dataDir, 'data', '.s.PGSQL.5432'))
  const second = useHere(t, { dataDir })
  const { connection } = await second.next('ready')
  assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }])
  await Promise.all([first.release(), second.release()])
})

test('a server in another container on the same volume is found by its socket, and refused', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('makes a namespace of process ids, so it needs to be root')
  const dataDir = await temporaryDirectory(t)
  const first = useHere(t, { dataDir })
  const { inspection, connection } = await first.next('ready')
  // There its process id belongs to nobody, or to somebody else.
  const through = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
  const failed = await startUser(t, { dataDir }, { through }).next('failed')
  assert.equal(failed.code, 'SLUICE_STORE_LOCKED')
  assert.match(failed.message, /in another container/)
  assert.deepEqual(await serversOn(join(dataDir, 'data')), [inspection.pid])
  assert.deepEqual(await query(connection, 'select 1 as one'), [{ one: 1 }])
  await first.release()
})
