/** The process around the service: signals, launchers, broken code and broken pipes, with real databases behind it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { ask, becomes } from './support/http.ts'
import { ownServers } from './support/servers.ts'
import { nodeCommand, startProgram, type Program, type ProgramOptions } from './support/program.ts'
import { skip } from './support/service.ts'

const READY_MS = 30_000

const servers = ownServers()

async function ready(options: ProgramOptions = {}): Promise<Program> {
  const program = await startProgram({
    ...options,
    env: { POSTGRES_DSN: servers.postgres.dsn, REDIS_ADDR: servers.redis.addr, ...options.env },
  })
  await becomes(`${program.url}/db`, 200, READY_MS)
  await becomes(`${program.url}/cache`, 200, READY_MS)
  return program
}

/** Connections of the service that PostgreSQL still has. */
async function connectionsLeft(): Promise<number> {
  const { connectComponent } = await import('../../src/testing/connect-component.ts')
  const { postgres: component } = await import('../../src/components/postgres/index.ts')
  await using made = await connectComponent(component({ dsn: servers.postgres.dsn }), { name: 'look' })
  const rows = await made.api.query<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where application_name = 'faults'",
  )
  return rows[0]?.n ?? -1
}

test(
  'an error that nobody caught is logged with its cause, the databases are left in order, and 1 is the end',
  { skip },
  async () => {
    for (const path of ['/throw-later', '/reject-later']) {
      await using program = await ready()
      await ask(program.url + path)
      assert.equal(await program.exit, 1)
      assert.match(program.output, /the cause/)
      // By its own clock, for how soon a busy machine lets it begin is not its doing.
      const ms = /faults stopped after (\d+) ms/.exec(program.output)?.[1]
      assert.ok(Number(ms) <= 5_000, `stopped after ${ms} ms`)
      assert.equal(await connectionsLeft(), 0)
    }
  },
)

test('a reader that takes the first line and goes does not end the service', { skip }, async () => {
  const pipe = `${nodeCommand().map(quoted).join(' ')} | head -1`
  await using program = await ready({ command: ['sh', '-c', pipe], env: { LOG_LEVEL: 'debug' } })
  for (let at = 0; at < 50; at++) assert.equal((await ask(`${program.url}/bad-query`)).status, 500)
  assert.equal((await ask(`${program.url}/db`)).status, 200)
  assert.equal((await ask(`${program.url}/livez`)).status, 200)
})

test('signals that come in pairs at once are one, and a later one skips the waiting', { skip }, async () => {
  await using both = await ready({ env: { CLOSE: '5s' } })
  both.kill('SIGINT')
  both.kill('SIGTERM')
  assert.equal(await both.exit, 0)
  assert.equal(await connectionsLeft(), 0)
  await using twice = await ready({ env: { DRAIN: '8s', BUDGET: '20s' } })
  const began = performance.now()
  twice.kill('SIGTERM')
  await becomes(`${twice.url}/readyz`, 503, 5_000)
  // What counts as one signal is a matter of the process's own clock.
  await new Promise((resolve) => setTimeout(resolve, 600))
  twice.kill('SIGTERM')
  assert.equal(await twice.exit, 143)
  assert.ok(performance.now() - began < 8_000, 'sooner than the drain delay alone')
  assert.equal(await connectionsLeft(), 0)
})

test(
  'a database that is frozen at SIGTERM neither keeps the others open nor breaks the budget',
  { skip },
  async () => {
    const frozen = [
      {
        name: 'cache',
        path: '/cache',
        freeze: async () => servers.redis.freeze(),
        thaw: async () => servers.redis.thaw(),
      },
      {
        name: 'db',
        path: '/db',
        freeze: () => servers.postgres.freeze(),
        thaw: () => servers.postgres.thaw(),
      },
    ]
    for (const { name, path, freeze, thaw } of frozen) {
      await using program = await ready({ env: { BUDGET: '6s' } })
      await freeze()
      try {
        const stuck = Array.from({ length: 5 }, () => ask(program.url + path).catch(() => undefined))
        const began = performance.now()
        program.kill('SIGTERM')
        const code = await program.exit
        // The budget, and as much again for a busy machine; without a budget it would hang until the thaw.
        assert.ok(performance.now() - began < 6_000 + 6_000)
        assert.ok(code === 0 || code === 70, `${name}: ${code}`)
        if (code === 70) assert.match(program.output, new RegExp(`"step":"close ${name}"`))
        await Promise.all(stuck)
      } finally {
        await thaw()
      }
      if (name === 'cache') assert.equal(await connectionsLeft(), 0)
    }
  },
)

test('the signal reaches node through npm and a shell that were told how', { skip }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-npm-'))
  try {
    const script = nodeCommand().map(quoted).join(' ')
    // npm signals the shell that it started, and no further: `exec` puts node in the place of that shell.
    await writeFile(
      join(directory, 'package.json'),
      JSON.stringify({ name: 'x', scripts: { start: `exec ${script}` } }),
    )
    const launchers: readonly (readonly string[])[] = [
      ['npm', 'start', '--silent'],
      ['sh', '-c', `exec ${script}`],
      ['sh', '-c', `${script} & child=$!; trap 'kill -TERM $child' TERM; wait $child; wait $child`],
    ]
    for (const command of launchers) {
      await using program = await ready({ command, cwd: directory, env: { HOME: directory } })
      program.kill('SIGTERM')
      // A launcher may be gone before the service is.
      await program.says(/SIGTERM: stopping/)
      await program.says(/faults stopped after/)
      const code = await program.exit
      assert.ok(code === 0 || code === 143 || code === 'SIGTERM', `${command[0]}: ${code}`)
      assert.equal(await connectionsLeft(), 0)
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})

const noNamespace =
  spawnSync('unshare', ['-fp', '--mount-proc', 'true']).status === 0
    ? skip
    : 'no process namespace can be made here'

test(
  'as the first process of a container it takes the signal and ends by itself',
  { skip: noNamespace },
  async () => {
    await using program = await ready({ command: ['unshare', '-fp', '--mount-proc', ...nodeCommand()] })
    assert.match(program.output, /"pid":1,/)
    // Whoever runs the container signals its first process; `unshare` hands nothing on.
    const { pid } = program.child
    const [first] = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ')
    process.kill(Number(first), 'SIGTERM')
    assert.equal(await program.exit, 0)
    assert.match(program.output, /SIGTERM: stopping/)
    assert.match(program.output, /faults stopped after/)
    assert.equal(await connectionsLeft(), 0)
  },
)

function quoted(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`
}
