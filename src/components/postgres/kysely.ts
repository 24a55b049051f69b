/** Kysely over a database, a transaction or a session. */
import type { CompiledQuery, DatabaseConnection, Dialect, Driver, Kysely, QueryResult } from 'kysely'
import type * as Module from 'kysely'
import { loadPeerNow } from '../../app/peer.ts'
import { SluiceError } from '../../core/errors.ts'
import type { DriverResult } from './driver.ts'
import type { TypedConnection, TypedHost } from './typed.ts'

type KyselyModule = typeof Module

export function createKysely<Tables>(host: TypedHost): Kysely<Tables> {
  const kysely = loadPeerNow<KyselyModule>('kysely', host.component)
  const dialect: Dialect = {
    createAdapter: () => new kysely.PostgresAdapter(),
    createDriver: () => new SluiceDriver(host),
    createIntrospector: (db) => new kysely.PostgresIntrospector(db),
    createQueryCompiler: () => new kysely.PostgresQueryCompiler(),
  }
  return new kysely.Kysely<Tables>({ dialect })
}

/** Single statements go on any connection; one of its own is taken only when a transaction begins. */
class SluiceConnection implements DatabaseConnection {
  readonly #host: TypedHost
  own: TypedConnection | undefined

  constructor(host: TypedHost) {
    this.#host = host
  }

  async begin(): Promise<TypedConnection> {
    this.own ??= await this.#host.begin()
    return this.own
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    return resultOf<R>(await (this.own ?? this.#host).query(sql, parameters))
  }

  async *streamQuery<R>(
    { sql, parameters }: CompiledQuery,
    chunkSize?: number,
  ): AsyncIterableIterator<QueryResult<R>> {
    if (this.own !== undefined) {
      throw new SluiceError('SLUICE_UNSUPPORTED', 'kysely: stream inside a transaction', {
        hint: 'Use tx.stream() of db.transaction().',
      })
    }
    for await (const row of this.#host.stream(sql, parameters, chunkSize ?? 500)) yield { rows: [row as R] }
  }
}

class SluiceDriver implements Driver {
  readonly #host: TypedHost

  constructor(host: TypedHost) {
    this.#host = host
  }

  async init(): Promise<void> {}
  async destroy(): Promise<void> {}

  async acquireConnection(): Promise<SluiceConnection> {
    return new SluiceConnection(this.#host)
  }

  async releaseConnection(connection: SluiceConnection): Promise<void> {
    await connection.own?.release()
    connection.own = undefined
  }

  async beginTransaction(
    connection: SluiceConnection,
    settings: { readonly isolationLevel?: string; readonly accessMode?: string },
  ): Promise<void> {
    const own = await connection.begin()
    const isolation =
      settings.isolationLevel === undefined ? '' : ` isolation level ${settings.isolationLevel}`
    const access = settings.accessMode === undefined ? '' : ` ${settings.accessMode}`
    await own.query(`begin${isolation}${access}`, [])
  }

  async commitTransaction(connection: SluiceConnection): Promise<void> {
    await (await connection.begin()).query('commit', [])
  }

  async rollbackTransaction(connection: SluiceConnection): Promise<void> {
    await (await connection.begin()).query('rollback', [])
  }

  async savepoint(connection: SluiceConnection, name: string): Promise<void> {
    await (await connection.begin()).query(`savepoint ${quoted(name)}`, [])
  }

  async rollbackToSavepoint(connection: SluiceConnection, name: string): Promise<void> {
    await (await connection.begin()).query(`rollback to savepoint ${quoted(name)}`, [])
  }

  async releaseSavepoint(connection: SluiceConnection, name: string): Promise<void> {
    await (await connection.begin()).query(`release savepoint ${quoted(name)}`, [])
  }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function resultOf<R>(result: DriverResult): QueryResult<R> {
  const rows = result.rows as R[]
  const changes = result.command !== 'SELECT' && result.rowCount !== null
  return changes ? { rows, numAffectedRows: BigInt(result.rowCount ?? 0) } : { rows }
}
