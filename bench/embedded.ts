/**
 * What the embedded PostgreSQL costs: to start it, to join it, to leave it, in memory, and a database of a test's own.
 *
 * There is no peer in the sense of the other benchmarks. Directories are made where the system keeps temporary files;
 * a first start syncs a thousand files to that disk. Memory is the proportional set size (PSS) of all its processes,
 * which counts what they share once.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import pg from 'pg'
import { acquireEmbeddedServer, type EmbeddedServer } from '../src/components/postgres/embedded/index.ts'
import { postgresProcessesOn } from '../src/components/postgres/embedded/process-facts.ts'
import { openTestServer } from '../src/components/postgres/embedded/test-database.ts'
import { systemClock } from '../src/core/clock.ts'
import { silentLogger } from '../src/telemetry/log.ts'
import type { Benchmark, Subject } from './harness/benchmark.ts'

const LIMIT_MS = 30_000
const CONNECTIONS = 10

export const benchmark: Benchmark = {
  doc: 'the embedded PostgreSQL: first and later starts, joining, stopping, memory, test databases',
  peers: [],
  async run({ rounds }) {
    const parent = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
    let directories = 0
    const fresh = (): string => join(parent, String(directories++))
    const made = fresh()
    await stop(await start(made))
    await using tests = await openTestServer()
    try {
      const subjects: readonly Subject[] = [
        { name: 'first start, to the first query', unit: 'ms', measure: () => untilFirstQuery(fresh()) },
        { name: 'later start, to the first query', unit: 'ms', measure: () => untilFirstQuery(made) },
        {
          name: 'first start, longest turn of the event loop',
          unit: 'ms',
          measure: () => longestTurn(fresh()),
        },
        { name: 'joining a server that runs', unit: 'ms', measure: () => joining(made) },
        { name: 'stopping', unit: 'ms', measure: () => stopping(made) },
        { name: 'memory of the server, no connection', unit: 'MB', measure: () => memory(made, 0) },
        {
          name: `memory of the server, ${CONNECTIONS} connections that have worked`,
          unit: 'MB',
          measure: () => memory(made, CONNECTIONS),
        },
        {
          name: 'database for a test, made and dropped',
          unit: 'ms',
          measure: () => timed(async () => (await tests.createDatabase()).drop()),
        },
      ]
      return {
        versions: { postgresql: (await versionOf(made)) ?? 'unknown' },
        settings: { connections: CONNECTIONS },
        rows: await rounds(subjects, { rounds: 9, quickRounds: 3 }),
        ratios: {},
      }
    } finally {
      await rm(parent, { recursive: true, force: true })
    }
  },
}

function start(dataDir: string): Promise<EmbeddedServer> {
  return acquireEmbeddedServer(
    { dataDir, appName: 'bench', log: silentLogger, clock: systemClock },
    AbortSignal.timeout(LIMIT_MS),
  )
}

function stop(server: EmbeddedServer): Promise<void> {
  return server.release(AbortSignal.timeout(LIMIT_MS))
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}

async function untilFirstQuery(dataDir: string): Promise<number> {
  const started = performance.now()
  const server = await start(dataDir)
  const client = await connect(server)
  await client.query('select 1')
  const ms = performance.now() - started
  await client.end()
  await stop(server)
  return ms
}

async function longestTurn(dataDir: string): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const server = await start(dataDir)
  delay.disable()
  await stop(server)
  return delay.max / 1e6
}

async function joining(dataDir: string): Promise<number> {
  const first = await start(dataDir)
  let second: EmbeddedServer | undefined
  const ms = await timed(async () => (second = await start(dataDir)))
  if (second !== undefined) await stop(second)
  await stop(first)
  return ms
}

async function stopping(dataDir: string): Promise<number> {
  const server = await start(dataDir)
  return timed(() => stop(server))
}

async function memory(dataDir: string, connections: number): Promise<number> {
  const server = await start(dataDir)
  const clients = await Promise.all(Array.from({ length: connections }, () => connect(server)))
  for (const client of clients)
    await client.query('select count(*) from pg_class join pg_attribute on attrelid = pg_class.oid')
  let kilobytes = 0
  for (const { pid } of await postgresProcessesOn(join(dataDir, 'data'))) {
    kilobytes += Number(/^Pss:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0)
  }
  await Promise.all(clients.map((client) => client.end()))
  await stop(server)
  return kilobytes / 1_024
}

async function connect(server: EmbeddedServer): Promise<pg.Client> {
  const client = new pg.Client({ ...server.connection })
  await client.connect()
  return client
}

async function versionOf(dataDir: string): Promise<string | undefined> {
  const server = await start(dataDir)
  const { version } = server.inspect()
  await stop(server)
  return version
}
