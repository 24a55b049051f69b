/** What the system says of a process whose end has begun. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { findPostmaster } from '../../../../src/components/postgres/embedded/postmaster.ts'
import { postgresProcess } from '../../../../src/components/postgres/embedded/process-facts.ts'
import { atEnd } from './support/harness.ts'

/** Waits for its standard input to end, without an argument. */
const WAITS = '/bin/cat'

/**
 * A process of a program called postgres, in `directory`, whose command line is empty: so is that of every process for a
 * moment, between giving up its memory and being a zombie.
 */
async function processWithoutCommand(t: TestContext, directory: string): Promise<number> {
  const program = join(directory, 'postgres')
  await copyFile(await realpath(WAITS), program)
  const child = spawn(program, [], { argv0: '', cwd: directory, stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = once(child, 'exit')
  await once(child, 'spawn')
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await ended
  })
  return child.pid!
}

test("a process that is ending is no server, neither ours nor somebody else's", async (t) => {
  if (process.platform !== 'linux') return t.skip('reads /proc')
  const program = await realpath(WAITS).catch(() => '')
  if (basename(program) !== 'cat') return t.skip('one program does the work of many here, by its name')
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'sluice-facts-')))
  atEnd(t, () => rm(directory, { recursive: true, force: true }))
  const pid = await processWithoutCommand(t, directory)
  assert.equal((await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ''), '')
  assert.equal(await postgresProcess(pid, directory), undefined)
  await writeFile(
    join(directory, 'postmaster.pid'),
    `${pid}\n${directory}\n1\n5432\n.\n\n  0        0\nready   \n`,
  )
  assert.deepEqual(await findPostmaster(directory), { state: 'stale', orphans: [] })
  assert.deepEqual(await findPostmaster(directory, true), { state: 'stale', orphans: [] })
})
