/** Starts processes that use the embedded server, and sees to it that none of them, nor any server, outlives a test. */
import { execFile, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, realpath, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import pg from 'pg'
import {
  acquireEmbeddedServer,
  type EmbeddedConnection,
  type EmbeddedInspection,
} from '../../../../../src/components/postgres/embedded/index.ts'
import {
  isAlive,
  postgresProcessesOn,
} from '../../../../../src/components/postgres/embedded/process-facts.ts'
import { systemClock } from '../../../../../src/core/clock.ts'
import { isSluiceError } from '../../../../../src/core/errors.ts'
import { silentLogger } from '../../../../../src/telemetry/log.ts'
import type { RootWay } from '../../../../../src/components/postgres/embedded/privilege.ts'

const run = promisify(execFile)

/**
 * Limit of what a test waits for, a start or a stop: a little less than a test has, so that it is told which one hung. No
 * measure of speed: a first start has taken 25 s on two processors with a load of 30.
 */
export const HANG_MS = 50_000

export interface UserOptions {
  readonly dataDir?: string
  readonly binDir?: string
  readonly rootWays?: readonly RootWay[]
}
export type Command = 'release'
export type Report =
  | { readonly kind: 'progress'; readonly fraction: number; readonly note: string | undefined }
  | {
      readonly kind: 'ready'
      readonly ms: number
      readonly connection: EmbeddedConnection
      readonly inspection: EmbeddedInspection
    }
  | { readonly kind: 'exit'; readonly message: string }
  | { readonly kind: 'released' }
  | {
      readonly kind: 'failed'
      readonly code: string | undefined
      readonly message: string
      readonly hint: string | undefined
    }

type Kind = Report['kind']
type Of<K extends Kind> = Extract<Report, { kind: K }>

export interface User {
  readonly child: ChildProcess
  /** The next report of this kind, past ones included; rejects when the process fails or ends without it. */
  next<K extends Kind>(kind: K): Promise<Of<K>>
  release(): Promise<void>
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>
}

const ends = new WeakMap<TestContext, (() => Promise<void>)[]>()

/** Like `t.after`, but the last one first: what was made in a directory goes before the directory. */
export function atEnd(t: TestContext, end: () => Promise<void>): void {
  const known = ends.get(t)
  if (known !== undefined) {
    known.push(end)
    return
  }
  const all = [end]
  ends.set(t, all)
  t.after(async () => {
    const results = []
    for (const each of all.toReversed()) results.push(...(await Promise.allSettled([each()])))
    const failures = results
      .filter((result) => result.status === 'rejected')
      .map(({ reason }): unknown => reason)
    if (failures.length > 0) throw new AggregateError(failures, 'the test did not clean up')
  })
}

/** A directory of the test's own. Whatever PostgreSQL still runs below it afterwards is killed. */
export async function temporaryDirectory(t: TestContext, mode = 0o755): Promise<string> {
  const directory = await realpath(await mkdtemp(join(await quickDirectory(), 'sluice-embedded-')))
  await chmod(directory, mode)
  atEnd(t, async () => {
    for (const data of await dataDirectoriesIn(directory)) {
      await killServers(data)
      await removeSharedMemory(data)
    }
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  })
  return directory
}

/** The segment that a killed server left, as its postmaster.pid says: the next start would have removed it. */
export async function removeSharedMemory(dataDir: string): Promise<void> {
  const lines = (await readFile(join(dataDir, 'postmaster.pid'), 'latin1').catch(() => '')).split('\n')
  const id = /^\s*\d+\s+(\d+)\s*$/.exec(lines[6] ?? '')?.[1]
  if (id !== undefined) await run('ipcrm', ['-m', id]).catch(() => {})
}

/** In memory where there is room: these tests make and copy some fifty databases. */
export async function quickDirectory(): Promise<string> {
  const memory = await statfs('/dev/shm').catch(() => undefined)
  return memory !== undefined && memory.bavail * memory.bsize > 2 ** 31 ? '/dev/shm' : tmpdir()
}

async function dataDirectoriesIn(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true }).catch(() => [])
  return entries
    .filter((name) => /(^|\/)(data|initdb-[0-9a-f]+)$/.test(name))
    .map((name) => join(directory, name))
}

/** The same in this process, at a tenth of the cost, for tests that are not about processes. */
export function useHere(t: TestContext, options: UserOptions): Pick<User, 'next' | 'release'> {
  const started = performance.now()
  const acquired = acquireEmbeddedServer(
    { appName: 'test', ...options, log: silentLogger, clock: systemClock },
    AbortSignal.timeout(HANG_MS),
  )
  const release = async (): Promise<void> => (await acquired).release(AbortSignal.timeout(HANG_MS))
  atEnd(t, () => release().catch(() => {}))
  const ready = acquired.then((server): Of<'ready'> => ({
    kind: 'ready',
    ms: performance.now() - started,
    connection: server.connection,
    inspection: server.inspect(),
  }))
  const failed = ready.then(
    () => Promise.reject(new Error('it was acquired, against expectation')),
    (error: unknown) => failureOf(error),
  )
  failed.catch(() => {})
  async function next(kind: Kind): Promise<Report> {
    return kind === 'failed' ? failed : ready
  }
  return { next: next as User['next'], release }
}

/** How a failure is told to the test. */
export function failureOf(error: unknown): Of<'failed'> {
  return {
    kind: 'failed',
    code: isSluiceError(error) ? error.code : undefined,
    hint: isSluiceError(error) ? error.hint : undefined,
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  }
}

/** Ends every PostgreSQL process on this data directory: in order if it can, so that it leaves no shared memory. */
export async function killServers(dataDir: string): Promise<void> {
  for (const pid of await serversOn(dataDir)) {
    process.kill(pid, 'SIGINT')
    await until(async () => !(await isAlive(pid)), `server ${pid} stopped`, 10_000).catch(() =>
      killAndWait(pid),
    )
  }
  for (const { pid } of await postgresProcessesOn(dataDir)) await killAndWait(pid)
}

export async function killAndWait(pid: number): Promise<void> {
  if (await isAlive(pid)) process.kill(pid, 'SIGKILL')
  await until(async () => !(await isAlive(pid)), `process ${pid} is gone`)
}

/** How many servers (not their children) run on this data directory. */
export async function serversOn(dataDir: string): Promise<readonly number[]> {
  return (await postgresProcessesOn(dataDir)).filter(({ isServer }) => isServer).map(({ pid }) => pid)
}

/** Waits for a fact about other processes, of which no event tells. */
export async function until(fact: () => Promise<boolean>, what: string, limitMs = HANG_MS): Promise<void> {
  const limit = performance.now() + limitMs
  while (!(await fact())) {
    if (performance.now() > limit) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export interface How extends Pick<SpawnOptions, 'uid' | 'gid' | 'cwd' | 'env'> {
  /** A program that runs the process, such as `unshare` with its arguments. */
  readonly through?: readonly string[]
}

/** Starts a process that acquires the server: as another user, in another directory, through another program. */
export function startUser(t: TestContext, options: UserOptions, { through = [], ...how }: How = {}): User {
  const command = [
    ...through,
    process.execPath,
    join(import.meta.dirname, 'user.ts'),
    JSON.stringify(options),
  ]
  const child = spawn(command[0]!, command.slice(1), {
    ...how,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const reports: Report[] = []
  const listeners = new Set<() => void>()
  let over = false
  child.on('message', (message) => {
    reports.push(message as Report)
    for (const listener of listeners) listener()
  })
  child.on('close', () => {
    over = true
    for (const listener of listeners) listener()
  })
  const kill = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
  atEnd(t, kill)
  function next<K extends Kind>(kind: K): Promise<Of<K>> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const found = reports.find((report): report is Of<K> => report.kind === kind)
        const failed = reports.find((report) => report.kind === 'failed')
        if (found === undefined && failed === undefined && !over) return
        listeners.delete(look)
        if (found !== undefined) resolve(found)
        else reject(new Error(failed?.message ?? `the process ended before it was ${kind}`))
      }
      listeners.add(look)
      look()
    })
  }
  return {
    child,
    next,
    kill,
    async release() {
      child.send('release' satisfies Command)
      await next('released')
      if (!over) await once(child, 'close')
    },
  }
}

export interface OpenClient extends AsyncDisposable {
  query(sql: string): Promise<readonly Record<string, unknown>[]>
}

export async function openClient(connection: EmbeddedConnection): Promise<OpenClient> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: HANG_MS, query_timeout: HANG_MS })
  client.on('error', () => {})
  await client.connect()
  return {
    query: async (sql) => (await client.query<Record<string, unknown>>(sql)).rows,
    [Symbol.asyncDispose]: () => client.end().catch(() => {}),
  }
}

/** Runs one statement on a connection of its own. */
export async function query(
  connection: EmbeddedConnection,
  sql: string,
): Promise<readonly Record<string, unknown>[]> {
  await using client = await openClient(connection)
  return await client.query(sql)
}
