/** A PostgreSQL server of its own on a free port of loopback, whose data is gone when it ends. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'

export interface Server extends AsyncDisposable {
  readonly url: string
  readonly version: string
}

const START_LIMIT_MS = 30_000
/** `nobody`, as whom it runs where we are root, whom it refuses. */
const NOBODY = 65_534

/** `bin`: the directory of `postgres` and `initdb`. */
export async function startServer(bin: string): Promise<Server> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-pg-version-'))
  const who = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}
  if (who.uid !== undefined) chownSync(directory, NOBODY, NOBODY)
  const data = join(directory, 'data')
  const made = spawnSync(
    join(bin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    { encoding: 'utf8', cwd: directory, ...who },
  )
  if (made.status !== 0) throw new Error(`initdb failed:\n${made.stdout}${made.stderr}`)
  const port = await freePort()
  // A file: whoever waits for the tests in a blocking way does not read a pipe.
  const logFile = join(directory, 'log')
  const log = openSync(logFile, 'w')
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: directory, fsync: 'off' }
  const server = spawn(
    join(bin, 'postgres'),
    [
      '-D',
      data,
      '-p',
      String(port),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    { stdio: ['ignore', log, log], cwd: directory, ...who },
  )
  closeSync(log)
  const exited = once(server, 'exit')
  const kill = (): void => void server.kill('SIGQUIT')
  process.once('exit', kill)
  const stop = async (): Promise<void> => {
    // At once: its data is thrown away.
    kill()
    await exited
    process.off('exit', kill)
    rmSync(directory, { recursive: true, force: true })
  }
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const until = performance.now() + START_LIMIT_MS
  for (;;) {
    try {
      return { url, version: await versionAt(url), [Symbol.asyncDispose]: stop }
    } catch (error) {
      if (server.exitCode === null && performance.now() < until) await delay(50)
      else {
        const said = readFileSync(logFile, 'utf8').slice(-4_000)
        await stop()
        throw new Error(`PostgreSQL did not start:\n${said}`, { cause: error })
      }
    }
  }
}

async function versionAt(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query<{ server_version: string }>('show server_version')
    return rows[0]?.server_version ?? 'unknown'
  } finally {
    await client.end()
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
