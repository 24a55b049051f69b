/** Drizzle over a database, a transaction or a session, in the place where it expects `pg`'s pool. */
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { loadPeerNow } from '../../app/peer.ts'
import type { DriverResult, TypeParsers } from './driver.ts'
import type { TypedConnection, TypedHost } from './typed.ts'

interface DrizzleModule {
  drizzle(options: { readonly client: unknown; readonly schema?: Record<string, unknown> }): unknown
}

interface DrizzleQuery {
  readonly text: string
  readonly rowMode?: 'array'
  readonly types?: TypeParsers
}

export function createDrizzle<Schema extends Record<string, unknown>>(
  host: TypedHost,
  schema: Schema | undefined,
): NodePgDatabase<Schema> {
  const module = loadPeerNow<DrizzleModule>('drizzle-orm/node-postgres', host.component)
  const client = new DrizzlePool(host)
  return module.drizzle(schema === undefined ? { client } : { client, schema }) as NodePgDatabase<Schema>
}

/** Drizzle takes a connection of its own for a transaction from what is called a pool, by this class's name. */
class DrizzlePool {
  readonly #host: TypedHost

  constructor(host: TypedHost) {
    this.#host = host
  }

  query(config: string | DrizzleQuery, params?: readonly unknown[]): Promise<DriverResult> {
    return sendTo(this.#host, config, params)
  }

  async connect(): Promise<DrizzleConnection> {
    return new DrizzleConnection(await this.#host.begin())
  }
}

class DrizzleConnection {
  readonly #connection: TypedConnection

  constructor(connection: TypedConnection) {
    this.#connection = connection
  }

  query(config: string | DrizzleQuery, params?: readonly unknown[]): Promise<DriverResult> {
    return sendTo(this.#connection, config, params)
  }

  release(): void {
    void this.#connection.release()
  }
}

function sendTo(
  target: Pick<TypedConnection, 'query'>,
  config: string | DrizzleQuery,
  params: readonly unknown[] = [],
): Promise<DriverResult> {
  if (typeof config === 'string') return target.query(config, params)
  const { text, rowMode, types } = config
  return target.query(text, params, { rowMode, types })
}
