/** The calls that databases, transactions and sessions share, over one way to send a statement. */
import type { AsyncResult } from '../../core/async-result.ts'
import type { CallOptions, OperationSpec } from '../../telemetry/operate.ts'
import { SluiceError } from '../../core/errors.ts'
import { batchOf, type BatchAnswer } from './batch.ts'
import type { BatchStatement, InsertedMany, InsertManyOptions, Queryable, QueryOptions, Row } from './api.ts'
import type { DriverResult } from './driver.ts'
import { createDrizzle } from './drizzle.ts'
import { quoteName } from './identifier.ts'
import { insertManyStatement } from './insert-many.ts'
import { createKysely } from './kysely.ts'
import { specPair, type Send } from './send.ts'
import { streamRows, type CursorConnection } from './stream.ts'
import type { TypedConnection, TypedHost } from './typed.ts'

export interface Sender {
  readonly component: string
  readonly send: Send
  /** An operation that fails before anything is sent. */
  fail<T>(spec: OperationSpec, error: unknown): AsyncResult<T>
  batch(
    list: readonly BatchStatement[],
    options: CallOptions | undefined,
  ): AsyncResult<readonly BatchAnswer[]>
  openCursor(signal: AbortSignal | undefined): Promise<CursorConnection>
  /** For transactions that a query builder begins. */
  begin(): Promise<TypedConnection>
}

const QUERY = specPair('query')
const EXECUTE = specPair('execute')
const INSERT = specPair('insert')
const INSERT_MANY = specPair('insertMany')
const UPDATE = specPair('update')
const DELETE = specPair('delete')
const NOTIFY = specPair('notify')
/** The server's limit: NOTIFY_PAYLOAD_MAX_LENGTH. */
const MAX_PAYLOAD_BYTES = 7_999

/** What query builders send through. */
export function typedOf(sender: Sender): TypedHost {
  return {
    component: sender.component,
    query: (sql, params, extras) => sender.send(QUERY, sql, params, undefined, (result) => result, extras),
    begin: () => sender.begin(),
    stream: (sql, params, batchSize) =>
      streamRows((signal) => sender.openCursor(signal), sql, params, { batchSize }),
  }
}

export function createQueries(sender: Sender, typed = typedOf(sender)): Queryable {
  const { send } = sender
  return {
    query: <T extends object = Row>(sql: string, params?: readonly unknown[], options?: QueryOptions) =>
      send(QUERY, sql, params, options, rowsOf<T>),
    queryOne: <T extends object = Row>(sql: string, params?: readonly unknown[], options?: QueryOptions) =>
      send(QUERY, sql, params, options, firstOf<T>),
    execute: (sql, params, options) => send(EXECUTE, sql, params, options, countOf),
    insert: (sql, params, options) => send(INSERT, sql, params, options, countOf),
    update: (sql, params, options) => send(UPDATE, sql, params, options, countOf),
    delete: (sql, params, options) => send(DELETE, sql, params, options, countOf),
    batch: (statements, options) => batchOf(sender.batch(statements, options), sizeOf(statements)),
    insertMany: <T extends object = Row>(
      table: string,
      rows: readonly Row[],
      options: InsertManyOptions = {},
    ) => {
      try {
        const { sql, params } = insertManyStatement(table, rows, options)
        return send(INSERT_MANY, sql, params, options, manyOf<T>)
      } catch (error) {
        return sender.fail(INSERT_MANY.once, error)
      }
    },
    notify: (channel, payload = '', options) => {
      try {
        quoteName(channel, 'channel')
        if (Buffer.byteLength(payload) > MAX_PAYLOAD_BYTES) throw tooLong(payload)
        return send(NOTIFY, 'select pg_notify($1, $2)', [channel, payload], options, nothingOf)
      } catch (error) {
        return sender.fail(NOTIFY.once, error)
      }
    },
    stream: (sql, params, options = {}) =>
      streamRows((signal) => sender.openCursor(signal), sql, params, options),
    kysely: <Tables>() => createKysely<Tables>(typed),
    drizzle: <Schema extends Record<string, unknown>>(schema?: Schema) => createDrizzle(typed, schema),
  }
}

/** A list that is none fails in `batch`; here it has no parts. */
function sizeOf(statements: readonly BatchStatement[]): number {
  return Array.isArray(statements) ? statements.length : 0
}

function tooLong(payload: string): SluiceError {
  return new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `notify.payload: expected at most ${MAX_PAYLOAD_BYTES} bytes, got ${Buffer.byteLength(payload)}`,
    { hint: 'Store the data in a table and send its key.' },
  )
}

function rowsOf<T>(result: DriverResult): T[] {
  return result.rows as T[]
}

function firstOf<T>(result: DriverResult): T | undefined {
  return result.rows[0] as T | undefined
}

function countOf(result: DriverResult): number {
  return result.rowCount ?? 0
}

function manyOf<T>(result: DriverResult): InsertedMany<T> {
  return { count: result.rowCount ?? 0, rows: result.rows as T[] }
}

function nothingOf(): void {}
