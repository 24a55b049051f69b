import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { test } from 'node:test'

const PROGRAM = join(import.meta.dirname, 'programs/logs.ts')
/** Every write to it fails with ENOSPC. */
const FULL = '/dev/full'

test(
  'a program whose log cannot be written, because the disk is full, goes on and ends by itself',
  { skip: existsSync(FULL) ? false : `there is no ${FULL} here` },
  async () => {
    const full = await open(FULL, 'w')
    const child = spawn(process.execPath, [PROGRAM], { stdio: ['ignore', full.fd, 'pipe'] })
    try {
      // It used to sleep and retry at its exit, for ever.
      const ended = once(child, 'exit', { signal: AbortSignal.timeout(20_000) })
      assert.equal(await text(child.stderr!), 'done')
      assert.deepEqual(await ended, [0, null])
    } finally {
      child.kill('SIGKILL')
      await full.close()
    }
  },
)
