/** The site as its reader starts it, with a second process: both do all of it, and end together. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../test/components/postgres/embedded/support/harness.ts'
import { startProgram, type Program } from '../../../test/faults/support/program.ts'
import type { Page } from '../routes/feed.ts'

/** Seconds, and more where others keep the machine busy. */
const LIMIT_MS = 120_000

test(
  'two processes share the site; stopping the first ends both in order',
  { timeout: LIMIT_MS },
  async (t) => {
    await using program = await start(await temporaryDirectory(t))
    const [first, second] = processesOf(program)
    const page = await fetch(first, { headers: { connection: 'close' } })
    assert.match(await page.text(), /<h1>community<\/h1>/)
    const ada = (await ask(first, 'POST', '/users', undefined, { name: 'ada' })) as { readonly id: string }
    await ask(second, 'POST', '/posts', ada.id, { body: 'written at the second' })
    for (const site of [first, second]) {
      while (((await ask(site, 'GET', '/feed', ada.id)) as Page).items[0]?.body !== 'written at the second');
    }
    program.kill('SIGTERM')
    assert.equal(await program.exit, 0, program.output)
    await gone(second)
  },
)

test(
  'when the first is killed, the other ends by itself, with the database',
  { timeout: LIMIT_MS },
  async (t) => {
    await using program = await start(await temporaryDirectory(t))
    const [, second] = processesOf(program)
    program.kill('SIGKILL')
    await gone(second)
    // Its output ends with the last process that could write to it.
    assert.equal(await program.exit, 'SIGKILL')
    assert.match(program.output, /community stopped after/)
  },
)

function start(cwd: string): Promise<Program> {
  return startProgram({
    command: [
      process.execPath,
      '--conditions=sluice-source',
      join(import.meta.dirname, '../main.ts'),
      '--workers',
      '2',
    ],
    cwd,
    env: { APP_PORT: '0', APP_HOST: '127.0.0.1' },
    until: 'Stop it with Ctrl-C.',
  })
}

function processesOf({ output }: Program): readonly [string, string] {
  const [first, second] = [...output.matchAll(/(http:\S+)\/health/g)].map(([, url]) => url)
  assert.ok(first !== undefined && second !== undefined && first !== second, output)
  return [first, second]
}

async function ask(
  site: string,
  method: string,
  path: string,
  who?: string,
  body?: object,
): Promise<unknown> {
  const reply = await fetch(new URL(path, site), {
    method,
    headers: {
      connection: 'close',
      ...(who !== undefined && { 'x-user': who }),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await reply.text()
  assert.ok(reply.ok, text)
  return JSON.parse(text)
}

/** Resolves when nobody listens there any more. */
async function gone(site: string): Promise<void> {
  for (;;) {
    try {
      await (await fetch(new URL('/livez', site), { headers: { connection: 'close' } })).text()
    } catch {
      return
    }
  }
}
