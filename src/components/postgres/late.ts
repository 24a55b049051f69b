/**
 * A database that can be handed out before anything of it is loaded: its calls are refused until the component has
 * connected, and from then on go to the real one.
 *
 * Importing the rest (some thirty modules and `pg`) takes 20 ms and more, which the opening of the port would wait for.
 */
import { BatchResult } from '../../core/batch-result.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { SluiceError } from '../../core/errors.ts'
import type { OperationSpec, Operations } from '../../telemetry/operate.ts'
import type { Database, Row } from './api.ts'
import { createDrizzle } from './drizzle.ts'
import { createKysely } from './kysely.ts'
import type { TypedHost } from './typed.ts'

/** A database that is loaded. */
export interface LoadedDatabase {
  readonly api: Database
  readonly typed: TypedHost
}

export interface LateHost {
  readonly component: string
  /** Refuses by itself while the component is not ready. */
  readonly operations: Operations
  /** Undefined before the first connect. */
  loaded(): LoadedDatabase | undefined
  refusal(): SluiceError
}

const REFUSED: OperationSpec = Object.freeze({ name: 'query', idempotent: false })

export function createLateDatabase(host: LateHost): Database {
  const refuse = <T>(): AsyncResult<T> =>
    host.operations.run<T>(REFUSED, () => Promise.reject(host.refusal()))
  const typedOr = (): TypedHost => {
    const typed = host.loaded()?.typed
    if (typed === undefined) throw host.refusal()
    return typed
  }
  const typed: TypedHost = {
    component: host.component,
    query: async (sql, params, extras) => typedOr().query(sql, params, extras),
    begin: async () => typedOr().begin(),
    async *stream(sql, params, batchSize) {
      yield* typedOr().stream(sql, params, batchSize)
    },
  }
  const real = (): Database | undefined => host.loaded()?.api
  return {
    query: (sql, params, options) => real()?.query(sql, params, options) ?? refuse(),
    queryOne: (sql, params, options) => real()?.queryOne(sql, params, options) ?? refuse(),
    execute: (sql, params, options) => real()?.execute(sql, params, options) ?? refuse(),
    insert: (sql, params, options) => real()?.insert(sql, params, options) ?? refuse(),
    update: (sql, params, options) => real()?.update(sql, params, options) ?? refuse(),
    delete: (sql, params, options) => real()?.delete(sql, params, options) ?? refuse(),
    insertMany: (table, rows, options) => real()?.insertMany(table, rows, options) ?? refuse(),
    batch: (statements, options) =>
      real()?.batch(statements, options) ??
      BatchResult.ofWhole<Row[]>(refuse<readonly Row[][]>(), statements.length),
    notify: (channel, payload, options) => real()?.notify(channel, payload, options) ?? refuse(),
    stream: (sql, params, options) => real()?.stream(sql, params, options) ?? refusedStream(host),
    kysely: <Tables>() => createKysely<Tables>(typed),
    drizzle: <Schema extends Record<string, unknown>>(schema?: Schema) => createDrizzle(typed, schema),
    transaction: (fn, options) => real()?.transaction(fn, options) ?? refuse(),
    session: (fn, options) => real()?.session(fn, options) ?? refuse(),
    script: (sql, options) => real()?.script(sql, options) ?? refuse(),
    listen: async (channel, handler) => {
      const database = real()
      if (database === undefined) throw host.refusal()
      return database.listen(channel, handler)
    },
    migrate: (migrations, options) => real()?.migrate(migrations, options) ?? refuse(),
  }
}

function refusedStream(host: LateHost): AsyncIterableIterator<never> {
  return {
    next: () => Promise.reject(host.refusal()),
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
