/** Two processes of the service on one database: they share the work, and killing either loses none of it. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../test/components/postgres/embedded/support/harness.ts'
import { startProgram, type Program } from '../../test/faults/support/program.ts'
import { ownDatabase } from '../../test/support/own-database.ts'
import { serverAt } from '../../test/support/servers.ts'
import { openSink, type Sink } from './mail-sink.ts'

const USERS = 12
const postgres = await serverAt('postgres')

test('on the embedded database: the mails of the one that started it, killed, are sent by the other', async (t) => {
  const cwd = await temporaryDirectory(t)
  await killedInTheMiddle(cwd, {})
  assert.ok(existsSync(join(cwd, '.sluice/todo/postgres/data')))
})

test(
  'on a server: the mails of a killed process are sent by the one before it',
  { skip: postgres.skip },
  async (t) => {
    const cwd = await temporaryDirectory(t)
    await using database = await ownDatabase(postgres.url)
    await killedInTheMiddle(cwd, { POSTGRES_DSN: database.dsn }, 'second')
  },
)

async function killedInTheMiddle(
  cwd: string,
  env: Readonly<Record<string, string>>,
  victim: 'first' | 'second' = 'first',
): Promise<void> {
  const sink = await openSink()
  try {
    await using first = await start(cwd, sink, env)
    await using second = await start(cwd, sink, env)
    const [killed, left] = victim === 'first' ? [first, second] : [second, first]
    // Mails wait in the database: the server takes none yet, so that the kill finds some under way.
    sink.refuse(USERS)
    const addresses = Array.from({ length: USERS }, (_, i) => `user${i}@example.com`)
    for (const email of addresses) {
      const reply = await fetch(new URL('/users', urlOf(killed)), {
        method: 'POST',
        headers: { 'content-type': 'application/json', connection: 'close' },
        body: JSON.stringify({ email, name: 'Somebody' }),
      })
      assert.equal(reply.status, 201, await reply.text())
    }
    const sent = allSent(sink, addresses)
    killed.kill('SIGKILL')
    assert.equal(await killed.exit, 'SIGKILL')
    await sent
    // The other one is well: what it says comes from the database.
    const audit = await fetch(new URL('/users/1', urlOf(left)), { headers: { connection: 'close' } })
    assert.equal(audit.status, 200, await audit.text())
  } finally {
    await sink.close()
  }
}

function start(cwd: string, sink: Sink, env: Readonly<Record<string, string>>): Promise<Program> {
  return startProgram({
    command: [process.execPath, '--conditions=sluice-source', join(import.meta.dirname, 'main.ts')],
    cwd,
    env: { APP_PORT: '0', APP_HOST: '127.0.0.1', MAIL_URL: sink.url, ...env },
    until: 'Stop it with Ctrl-C.',
  })
}

function urlOf({ output }: Program): string {
  const url = /^ +curl (http\S+)$/m.exec(output)?.[1]
  assert.ok(url !== undefined, output)
  return url
}

/** Resolves when each address has had a mail. */
function allSent(sink: Sink, addresses: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      const reached = new Set(sink.mails.flatMap(({ to }) => to))
      if (addresses.every((address) => reached.has(address))) resolve()
    }
    sink.onMail = look
    look()
  })
}
