/** A town under load, processes of which are killed: what follows from what people did is there, and there once. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../test/components/postgres/embedded/support/harness.ts'

const MAIN = join(import.meta.dirname, '../main.ts')
/** Three processes start, one more when one was killed: seconds, and a minute where others keep the machine busy. */
const LIMIT_MS = 150_000

test(
  'a town of two processes, one of them killed: what followed is as it must be',
  { timeout: LIMIT_MS },
  async (t) => {
    const cwd = await temporaryDirectory(t)
    const asked = ['--users', '8', '--rate', '30', '--seconds', '3', '--kills', '1']
    const { code, output } = await run(cwd, ['load', ...asked])
    assert.equal(code, 0, output)
    assert.match(output, /^a town of 8 people and \d+ follows/m)
    assert.match(output, /^vote +[1-9]/m)
    assert.match(output, /^post-tallies +[1-9]/m)
    assert.match(output, /, processes killed: 1$/m)
    assert.match(output, /^feeds +[1-9]\d* +0 +0$/m)
    assert.match(output, /^everything is as it must be$/m)
  },
)

test('options that make no sense are refused with what was expected', async (t) => {
  const cwd = await temporaryDirectory(t)
  const { code, output } = await run(cwd, ['load', '--users', 'many'])
  assert.equal(code, 64)
  assert.match(output, /--users: expected a whole number from 2 to 1000000, got "many"/)
})

async function run(
  cwd: string,
  words: readonly string[],
): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn(process.execPath, ['--conditions=sluice-source', MAIN, ...words], {
    cwd,
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS - 10_000)
  const [said, complained, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  clearTimeout(limit)
  return { code: Number(code ?? -1), output: `${said}${complained}` }
}
