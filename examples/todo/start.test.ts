/** `npm start`, as a new user runs it: the command of package.json, in a directory of its own, without a terminal. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../test/components/postgres/embedded/support/harness.ts'
import { connectRedis } from '../../test/components/redis/support.ts'
import { ask } from '../../test/faults/support/http.ts'
import { startProgram, type Program } from '../../test/faults/support/program.ts'
import { serverAt } from '../../test/support/servers.ts'
import { ownDatabase } from '../../test/support/own-database.ts'

const ROOT = join(import.meta.dirname, '../..')
const LIMIT_MS = 60_000

test('npm start shows where to look, and a second start has the data of the first', async (t) => {
  const cwd = await temporaryDirectory(t)
  await twoStarts(cwd, {}, 'db (embedded PostgreSQL), cache (in memory), threads, jobs, events, audit, cron')
  assert.ok(existsSync(join(cwd, '.sluice/todo/postgres/data')), 'the data is where the program was started')
})

const postgres = await serverAt('postgres')
const redis = await serverAt('redis')

test(
  'npm start on servers of its user keeps its data there, and starts none itself',
  { skip: postgres.skip || redis.skip },
  async (t) => {
    const cwd = await temporaryDirectory(t)
    await using database = await ownDatabase(postgres.url)
    const keyPrefix = `sluice-test:${randomUUID()}:`
    const env = { POSTGRES_DSN: database.dsn, REDIS_ADDR: redis.url, REDIS_KEY_PREFIX: keyPrefix }
    await twoStarts(cwd, env, 'db (PostgreSQL), cache (Redis), threads, jobs, events, audit, cron')
    assert.equal(existsSync(join(cwd, '.sluice')), false)
    await using connected = await connectRedis({ addr: redis.url, keyPrefix })
    assert.ok((await connected.cache.del(['todos:1:all'])) > 0, 'the first page was cached on the server')
  },
)

test('a signal to npm ends it in order', async (t) => {
  const cwd = await temporaryDirectory(t)
  const quoted = startCommand().map((word) => `'${word}'`)
  const scripts = { start: `exec ${quoted.join(' ')}` }
  await writeFile(join(cwd, 'package.json'), JSON.stringify({ name: 'x', scripts }))
  await using program = await start(cwd, { HOME: cwd }, ['npm', 'start', '--silent'])
  program.kill('SIGTERM')
  await program.says(/todo stopped after/)
  await program.exit
})

async function twoStarts(cwd: string, env: Readonly<Record<string, string>>, used: string): Promise<void> {
  const title = `from the first start ${randomUUID()}`
  {
    await using first = await start(cwd, env)
    assert.ok(first.output.includes(`todo is up on ${used}.`), first.output)
    const seeded = await ask(firstCurl(first))
    assert.equal(seeded.status, 200, seeded.body)
    assert.match(seeded.body, /Read the first screen/)
    const added = await fetch(firstCurl(first), {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify({ title }),
    })
    assert.equal(added.status, 201, await added.text())
    await stopped(first)
  }
  await using second = await start(cwd, env)
  const { status, body } = await ask(`${firstCurl(second)}?limit=100`)
  assert.equal(status, 200, body)
  assert.ok(body.includes(title), body)
  assert.equal(body.split('Read the first screen').length, 2, 'it is seeded once')
  assert.equal((await ask(firstCurl(second))).status, 200)
  await stopped(second)
}

function start(
  cwd: string,
  env: Readonly<Record<string, string>>,
  command = startCommand(),
): Promise<Program> {
  const free = { APP_PORT: '0', APP_HOST: '127.0.0.1' }
  return startProgram({
    command,
    cwd,
    env: { ...free, ...env },
    until: 'Stop it with Ctrl-C.',
  })
}

/**
 * What `npm start` runs, with the paths of the package, since it runs elsewhere here. `exec` puts node in the place of the
 * shell that npm starts, as npm signals that and no further.
 */
function startCommand(): readonly string[] {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    readonly scripts: Readonly<Record<string, string>>
  }
  const [exec, node, ...words] = (scripts['start'] ?? '').split(' ')
  assert.deepEqual([exec, node], ['exec', 'node'])
  return [process.execPath, ...words.map((word) => (existsSync(join(ROOT, word)) ? join(ROOT, word) : word))]
}

function firstCurl({ output }: Program): string {
  const url = /^ +curl (http\S+)$/m.exec(output)?.[1]
  assert.ok(url !== undefined, output)
  return url
}

/** Ends it as a process manager does; what it said must be a banner and lines of JSON. */
async function stopped(program: Program): Promise<void> {
  const closed = once(program.child, 'close')
  program.kill('SIGTERM')
  const limit = setTimeout(() => program.kill('SIGKILL'), LIMIT_MS / 4)
  assert.equal(await program.exit, 0, program.output)
  clearTimeout(limit)
  await closed
  const banner = /^\n {2}todo is up on [^]*?Stop it with Ctrl-C\.\n\n/m.exec(program.output)?.[0]
  assert.ok(banner !== undefined, program.output)
  const lines = program.output.replace(banner, '').split('\n').slice(0, -1)
  assert.ok(lines.length >= 3, program.output)
  for (const line of lines) assert.doesNotThrow(() => JSON.parse(line), `no JSON: ${line}`)
}
