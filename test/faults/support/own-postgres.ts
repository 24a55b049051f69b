/**
 * A PostgreSQL server of one's own on a TCP port, to be killed, frozen and started again. It is made by the embedded
 * component's programs, so that it runs wherever the tests of that one do, also as root.
 */
import { spawn } from 'node:child_process'
import { chmod, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { acquireEmbeddedServer } from '../../../src/components/postgres/embedded/index.ts'
import { childEnvironment, commandAs } from '../../../src/components/postgres/embedded/privilege.ts'
import { postgresProcessesOn } from '../../../src/components/postgres/embedded/process-facts.ts'
import type { Runtime } from '../../../src/components/postgres/embedded/runtime.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { silentLogger } from '../../../src/telemetry/log.ts'
import {
  quickDirectory,
  removeSharedMemory,
  until,
} from '../../components/postgres/embedded/support/harness.ts'
import { freePort } from '../../components/redis/own-server.ts'

export interface OwnPostgres extends AsyncDisposable {
  readonly port: number
  readonly dsn: string
  /** The directory of the database, to which the server's user has access. */
  readonly data: string
  start(): Promise<void>
  /** As a crash: the server and its children are gone at once. What was committed is on disk. */
  kill(): Promise<void>
  /** SIGSTOP for all of its processes: connections stay, nothing answers. */
  freeze(): Promise<void>
  thaw(): Promise<void>
}

const LIMIT_MS = 30_000

/** `settings`: of the server, such as `{ ssl: 'on' }`; `prepare` may add files to its directory before the start. */
export async function ownPostgres(
  settings: Readonly<Record<string, string>> = {},
  prepare: (
    data: string,
    owner: { readonly uid: number; readonly gid: number } | undefined,
  ) => Promise<void> = () => Promise.resolve(),
): Promise<OwnPostgres> {
  const directory = await realpath(await mkdtemp(join(await quickDirectory(), 'sluice-faults-')))
  await chmod(directory, 0o755)
  const runtime = await makeDatabase(directory)
  const data = join(directory, 'data')
  const { runAs } = runtime
  await prepare(data, runAs.way === 'setuid' ? runAs : undefined)
  const port = await freePort()
  const args = Object.entries({
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    // A crash of the server loses nothing that the kernel has.
    fsync: 'off',
    full_page_writes: 'off',
    ...settings,
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const signalAll = async (signal: NodeJS.Signals): Promise<void> => {
    for (const { pid } of await postgresProcessesOn(data)) kill(pid, signal)
  }
  const server: OwnPostgres = {
    port,
    data,
    dsn: `postgres://postgres@127.0.0.1:${port}/postgres`,
    async start() {
      const { file, args: all, options } = commandAs(runAs, runtime.binaries.postgres, ['-D', data, ...args])
      const child = spawn(file, all, { ...options, cwd: data, env: childEnvironment(), stdio: 'ignore' })
      child.unref()
      await until(
        async () => {
          if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`)
          const lines = (await readFile(join(data, 'postmaster.pid'), 'latin1').catch(() => '')).split('\n')
          return Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready'
        },
        `a server on port ${port}`,
        LIMIT_MS,
      )
    },
    async kill() {
      // The server first: it would start its children again.
      const all = (await postgresProcessesOn(data)).toSorted(
        (a, b) => Number(b.isServer) - Number(a.isServer),
      )
      for (const { pid } of all) kill(pid, 'SIGKILL')
      await until(async () => (await postgresProcessesOn(data)).length === 0, 'all of the server is gone')
    },
    async freeze() {
      // The server first, so that it makes no more children; one may be on its way all the same.
      const stopped = new Set<number>()
      for (let quiet = 0; quiet < 3;) {
        const running = (await postgresProcessesOn(data)).filter(({ pid }) => !stopped.has(pid))
        for (const { pid } of running.toSorted((a, b) => Number(b.isServer) - Number(a.isServer))) {
          kill(pid, 'SIGSTOP')
          stopped.add(pid)
        }
        quiet = running.length === 0 ? quiet + 1 : 0
      }
    },
    thaw: () => signalAll('SIGCONT'),
    async [Symbol.asyncDispose]() {
      await server.kill()
      await removeSharedMemory(data)
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
  try {
    await server.start()
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
  return server
}

/** An empty database in `directory`, and how its programs are run. */
async function makeDatabase(directory: string): Promise<Runtime> {
  const limit = AbortSignal.timeout(LIMIT_MS)
  const options = {
    dataDir: directory,
    appName: 'faults',
    durable: false,
    log: silentLogger,
    clock: systemClock,
  }
  await (await acquireEmbeddedServer(options, limit)).release(limit)
  await writeFile(join(directory, 'data', 'pg_hba.conf'), 'host all all 127.0.0.1/32 trust\n')
  const { runtime } = JSON.parse(await readFile(join(directory, 'runtime.json'), 'utf8')) as {
    readonly runtime: Runtime
  }
  return runtime
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // It ended by itself in the meantime.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
