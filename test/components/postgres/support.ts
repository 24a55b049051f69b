/** Connected postgres components for tests, and names that no other test has. */
import { randomBytes } from 'node:crypto'
import { postgres, type Postgres, type PostgresOptions } from '../../../src/components/postgres/index.ts'
import {
  connectComponent,
  openComponent,
  type OpenComponent,
  type OpenComponentOptions,
} from '../../../src/testing/connect-component.ts'
import { serverAt } from '../../support/servers.ts'

export const server = await serverAt('postgres')
export const { skip } = server

/** The component on the test server, connected. */
export function connected(
  options: PostgresOptions = {},
  more: OpenComponentOptions = {},
): Promise<OpenComponent<Postgres>> {
  return connectComponent(postgres({ dsn: server.url, ...options }), { name: 'db', ...more })
}

/** The same, not connected yet. */
export function opened(
  options: PostgresOptions = {},
  more: OpenComponentOptions = {},
): Promise<OpenComponent<Postgres>> {
  return openComponent(postgres({ dsn: server.url, ...options }), { name: 'db', ...more })
}

/** The test server behind another address, such as a proxy's. */
export function dsnAt(port: number): string {
  const url = new URL(server.url)
  url.hostname = '127.0.0.1'
  url.port = String(port)
  return url.href
}

/** A name that no other test has. */
export function unique(prefix: string): string {
  return `${prefix}_${randomBytes(6).toString('hex')}`
}

/** A table of the test's own, dropped at the end. */
export async function table(
  db: Postgres,
  columns: string,
): Promise<AsyncDisposable & { readonly name: string }> {
  const name = unique('t')
  await db.execute(`create table ${name} (${columns})`)
  return {
    name,
    async [Symbol.asyncDispose]() {
      await db.execute(`drop table if exists ${name}`)
    },
  }
}
