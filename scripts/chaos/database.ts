/** The database of a run: on an embedded server of the run's own, or a new one on a server that is named. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { createTestDatabase } from '../../src/components/postgres/embedded/test-database.ts'

export async function openDatabase(
  dsn: string | undefined,
): Promise<AsyncDisposable & { readonly dsn: string }> {
  if (dsn === undefined) return createTestDatabase()
  const name = `sluice_chaos_${process.pid}_${randomBytes(4).toString('hex')}`
  const admin = async (sql: string): Promise<void> => {
    const client = new pg.Client({ connectionString: dsn })
    await client.connect()
    await client.query(sql)
    await client.end()
  }
  await admin(`drop database if exists ${name} with (force)`)
  await admin(`create database ${name}`)
  const own = new URL(dsn)
  own.pathname = `/${name}`
  return {
    dsn: own.href,
    [Symbol.asyncDispose]: () => admin(`drop database if exists ${name} with (force)`),
  }
}

export async function connectTo(dsn: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: dsn })
  await client.connect()
  return client
}

/** For the report. */
export async function serverOf(db: pg.Client, embedded: boolean): Promise<string> {
  const { rows } = await db.query<{ server_version: string }>('show server_version')
  return `PostgreSQL ${rows[0]?.server_version ?? '?'}${embedded ? ', embedded' : ''}`
}
