/**
 * The PostgreSQL server that benchmarks run on: the one at POSTGRES_DSN, or an embedded one in a temporary directory,
 * both with their settings as they are, `fsync` included.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { acquireEmbeddedServer } from '../../src/components/postgres/embedded/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/telemetry/log.ts'

export interface TestServer extends AsyncDisposable {
  readonly version: string
  readonly options: { readonly dsn?: string; readonly dataDir?: string }
  readonly config: pg.ClientConfig
}

export async function testServer(): Promise<TestServer> {
  const dsn = process.env['POSTGRES_DSN']
  if (dsn !== undefined) {
    const config = { connectionString: dsn }
    return {
      version: await versionOf(config),
      options: { dsn },
      config,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }
  }
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
  const server = await acquireEmbeddedServer(
    { dataDir, appName: 'bench', log: silentLogger, clock: systemClock },
    AbortSignal.timeout(60_000),
  )
  return {
    version: await versionOf(server.connection),
    options: { dataDir },
    config: server.connection,
    async [Symbol.asyncDispose]() {
      await server.release(AbortSignal.timeout(10_000))
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

async function versionOf(config: pg.ClientConfig): Promise<string> {
  const client = new pg.Client(config)
  await client.connect()
  const { rows } = await client.query<{ server_version: string }>('show server_version')
  await client.end()
  return rows[0]?.server_version ?? 'unknown'
}

/** An empty database of its own; dropped with the answer. */
export async function freshDatabase(
  server: TestServer,
  name: string,
): Promise<AsyncDisposable & { readonly dsn: string }> {
  const admin = async (sql: string): Promise<void> => {
    const client = new pg.Client(server.config)
    await client.connect()
    await client.query(sql)
    await client.end()
  }
  await admin(`drop database if exists ${name} with (force)`)
  await admin(`create database ${name}`)
  const { connectionString, host, port, user } = server.config
  const dsn = new URL(connectionString ?? `postgres://${user}@localhost/`)
  dsn.pathname = `/${name}`
  if (connectionString === undefined) {
    dsn.searchParams.set('host', String(host))
    dsn.port = String(port)
  }
  return {
    dsn: dsn.href,
    [Symbol.asyncDispose]: () => admin(`drop database if exists ${name} with (force)`),
  }
}
