import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { test } from 'node:test'
import { commandLine, finished, lineOf } from './command.ts'

/** Every write to it fails with ENOSPC. */
const FULL = '/dev/full'
const skip = existsSync(FULL) ? false : `there is no ${FULL} here`

async function onFullDisk(args: readonly string[]) {
  const full = await open(FULL, 'w')
  const { command, options } = commandLine(args)
  const child = spawn(process.execPath, command, { ...options, stdio: ['ignore', full.fd, 'pipe'] })
  return {
    child,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await full.close()
    },
  }
}

test('run goes on to serve when its output cannot be written, and stops with 0', { skip }, async () => {
  await using running = await onFullDisk(['run', 'chatty.ts'])
  const { child } = running
  const url = await lineOf(child.stderr, /at (\S+)\n/)
  const ended = finished(child)
  for (let request = 0; request < 3; request++) {
    const response = await fetch(url)
    assert.deepEqual([response.status, await response.json()], [200, { hello: true }])
  }
  child.kill('SIGTERM')
  assert.equal((await ended).code, 0)
})

test('a command whose output cannot be written says so and ends with 1', { skip }, async () => {
  await using running = await onFullDisk(['config'])
  const { code, err } = await finished(running.child)
  assert.equal(code, 1)
  assert.match(err, /^sluice: the output could not be written: ENOSPC/m)
})
