/**
 * Databases for tests: real ones, each of its own, made from a template in about 10 ms.
 *
 * They live on one embedded server for all tests of the user on this machine. It is started by the first test process
 * that needs it and stopped by the last; it syncs nothing to disk. What killed processes leave is dropped by the next.
 *
 *     await using database = await createTestDatabase({ template: { key: 'v1', setup: migrate } })
 *
 * A template is made once for its key, by whichever process comes first, and kept for the next run.
 */
import { createHash, randomBytes } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { loadPeer } from '../../../app/peer.ts'
import { systemClock } from '../../../core/clock.ts'
import { silentLogger } from '../../../telemetry/log.ts'
import { acquireEmbeddedServer } from './acquire.ts'
import { isAlive } from './process-facts.ts'
import type { EmbeddedConnection, EmbeddedServer } from './server.ts'
import { privateTemporary } from './socket-path.ts'

export interface TestTemplate {
  /** Names the content: another key, another template. Put a hash of the migrations into it. */
  readonly key: string
  /** Fills the template. Must close its connections. */
  readonly setup: (connection: EmbeddedConnection) => Promise<void>
}

export interface TestDatabaseOptions {
  /** @default an empty database */
  readonly template?: TestTemplate | undefined
  readonly signal?: AbortSignal | undefined
}

export interface TestDatabase extends AsyncDisposable {
  readonly connection: EmbeddedConnection
  /** The same as an address. */
  readonly dsn: string
  /** Drops the database, also under open connections. Idempotent. */
  drop(): Promise<void>
}

/** Held by a test process, or a test file, it saves each test the start of the server (20 ms). */
export interface TestServer extends AsyncDisposable {
  createDatabase(options?: TestDatabaseOptions): Promise<TestDatabase>
  /** Leaves the server; databases that were not dropped go with the process. Idempotent. */
  close(): Promise<void>
}

const START_LIMIT_MS = 30_000
const STOP_LIMIT_MS = 10_000
const MEMORY = '/dev/shm'
const MEMORY_NEEDED = 2 ** 30
const KEPT_TEMPLATES = 8
/** Guards the making of templates, among processes. Any number that nobody else uses on this server. */
const TEMPLATE_LOCK = 7_226_318

export async function openTestServer(signal?: AbortSignal): Promise<TestServer> {
  const limit = AbortSignal.timeout(START_LIMIT_MS)
  const server = await acquireEmbeddedServer(
    {
      // The number counts the ways in which these directories were laid out.
      dataDir: join(await privateTemporary(await roomInMemory()), 'test-databases-1'),
      appName: 'sluice-test',
      durable: false,
      log: silentLogger,
      clock: systemClock,
    },
    signal === undefined ? limit : AbortSignal.any([limit, signal]),
  )
  try {
    await dropLeftOvers(server.connection)
  } catch (error) {
    await server.release(AbortSignal.timeout(STOP_LIMIT_MS))
    throw error
  }
  return new Server(server)
}

/** A database on a server that is held for it alone; 40 to 70 ms instead of 9 when no other test holds the server. */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const server = await openTestServer(options.signal)
  try {
    const database = await server.createDatabase(options)
    return new Database(database.connection, async () => {
      try {
        await database.drop()
      } finally {
        await server.close()
      }
    })
  } catch (error) {
    await server.close()
    throw error
  }
}

/**
 * A database is 300 files: 6 ms to copy in memory, 10 to 160 on a disk that others use as well. Containers often have
 * 64 MB there, where the directory takes 40 and each database 8.
 */
async function roomInMemory(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.env['TMPDIR'] !== undefined) return undefined
  const memory = await statfs(MEMORY).catch(() => undefined)
  return memory !== undefined && memory.bavail * memory.bsize >= MEMORY_NEEDED ? MEMORY : undefined
}

class Server implements TestServer {
  readonly #server: EmbeddedServer

  constructor(server: EmbeddedServer) {
    this.#server = server
  }

  async createDatabase({ template, signal }: TestDatabaseOptions = {}): Promise<TestDatabase> {
    const admin = this.#server.connection
    const database = `test_${process.pid}_${randomBytes(6).toString('hex')}`
    signal?.throwIfAborted()
    await withConnection(admin, async (run) => {
      const source = template === undefined ? 'template1' : await templateFor(admin, run, template)
      await run(`create database ${database} template ${source} strategy file_copy`)
    })
    return new Database({ ...admin, database }, () => dropDatabase(admin, database))
  }

  close(): Promise<void> {
    return this.#server.release(AbortSignal.timeout(STOP_LIMIT_MS))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

class Database implements TestDatabase {
  readonly connection: EmbeddedConnection
  readonly dsn: string
  readonly #drop: () => Promise<void>
  #dropped: Promise<void> | undefined

  constructor(connection: EmbeddedConnection, drop: () => Promise<void>) {
    const { host, port, user, database } = connection
    this.connection = Object.freeze(connection)
    this.dsn = `postgresql://${user}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`
    this.#drop = drop
  }

  drop(): Promise<void> {
    this.#dropped ??= this.#drop()
    return this.#dropped
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drop()
  }
}

type Run = (sql: string) => Promise<readonly Readonly<Record<string, unknown>>[]>

/** The name of the template for this key, which is made under another name and given its own when complete. */
async function templateFor(admin: EmbeddedConnection, run: Run, template: TestTemplate): Promise<string> {
  const name = `template_${createHash('sha256').update(template.key).digest('hex').slice(0, 24)}`
  const exists = async (): Promise<boolean> =>
    (await run(`select from pg_database where datname = '${name}'`)).length > 0
  if (await exists()) return name
  await run(`select pg_advisory_lock(${TEMPLATE_LOCK})`)
  try {
    if (await exists()) return name
    const making = `making_${randomBytes(6).toString('hex')}`
    await run(`create database ${making} strategy file_copy`)
    try {
      await template.setup({ ...admin, database: making })
      await run(`alter database ${making} rename to ${name}`)
    } catch (error) {
      await run(`drop database ${making} with (force)`)
      throw error
    }
    await dropOldTemplates(run)
  } finally {
    await run(`select pg_advisory_unlock(${TEMPLATE_LOCK})`)
  }
  return name
}

async function dropOldTemplates(run: Run): Promise<void> {
  const kept = `select oid from pg_database where datname like 'template\\_%' order by oid desc limit ${KEPT_TEMPLATES}`
  const rows = await run(
    `select datname from pg_database where datname like 'template\\_%' and oid not in (${kept})`,
  )
  for (const { datname } of rows) await run(`drop database if exists ${String(datname)}`)
}

/** Databases of processes that are gone, by the process id in their names. */
async function dropLeftOvers(admin: EmbeddedConnection): Promise<void> {
  await withConnection(admin, async (run) => {
    const rows = await run(`select datname from pg_database where datname ~ '^test_[0-9]+_'`)
    for (const { datname } of rows) {
      const name = String(datname)
      if (!(await isAlive(Number(name.split('_')[1]))))
        await run(`drop database if exists ${name} with (force)`)
    }
  })
}

async function dropDatabase(admin: EmbeddedConnection, database: string): Promise<void> {
  await withConnection(admin, (run) => run(`drop database if exists ${database} with (force)`))
}

async function withConnection<T>(connection: EmbeddedConnection, use: (run: Run) => Promise<T>): Promise<T> {
  const { default: pg } = await loadPeer('pg', 'test database', () => import('pg'))
  const client = new pg.Client({ ...connection, query_timeout: START_LIMIT_MS })
  // A server that goes away is told by the failing statement.
  client.on('error', () => {})
  await client.connect()
  try {
    return await use(async (sql) => (await client.query<Readonly<Record<string, unknown>>>(sql)).rows)
  } finally {
    await client.end()
  }
}
