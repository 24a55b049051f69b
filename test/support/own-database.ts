/** An empty database of a test's own on a server that others use too; dropped at the end, connections and all. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'

export interface OwnDatabase extends AsyncDisposable {
  readonly dsn: string
}

/** `url`: of a database on that server whose user may create others. */
export async function ownDatabase(url: string): Promise<OwnDatabase> {
  const name = `sluice_test_${randomBytes(6).toString('hex')}`
  await execute(url, `create database ${name}`)
  const dsn = new URL(url)
  dsn.pathname = `/${name}`
  return {
    dsn: dsn.href,
    [Symbol.asyncDispose]: () => execute(url, `drop database if exists ${name} with (force)`),
  }
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
