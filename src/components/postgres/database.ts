/** One database: its connections, its statements, and the calls on it. */
import type { AsyncResult } from '../../core/async-result.ts'
import { toError } from '../../core/errors.ts'
import type { CallOptions, OperationSpec } from '../../telemetry/operate.ts'
import type {
  BatchStatement,
  Database,
  Migration,
  Session,
  SessionOptions,
  Transaction,
  TransactionOptions,
} from './api.ts'
import { partsOf, sendParts, type BatchAnswer, type BatchPart } from './batch.ts'
import type { DatabaseHost } from './database-host.ts'
import { begin, openCursor } from './kept.ts'
import { migrate } from './migrate.ts'
import { withOwn } from './own.ts'
import { createQueries, typedOf, type Sender } from './queries.ts'
import { Request } from './request.ts'
import { runRetrying } from './retrying.ts'
import { specPair, type Send } from './send.ts'
import { sessionOf } from './session.ts'
import { refuseOnShared } from './connection-acts.ts'
import type { TypedHost } from './typed.ts'

const BATCH = specPair('batch')
const TRANSACTION: OperationSpec = Object.freeze({ name: 'transaction', idempotent: false })
const SESSION: OperationSpec = Object.freeze({ name: 'session', idempotent: false })
const SCRIPT: OperationSpec = Object.freeze({ name: 'script', idempotent: false })
const MIGRATE: OperationSpec = Object.freeze({ name: 'migrate', idempotent: false })

export function createDatabase(host: DatabaseHost): { readonly api: Database; readonly typed: TypedHost } {
  const client = new DatabaseClient(host)
  const sender: Sender = {
    component: host.component,
    send: client.send,
    fail: (spec, error) => host.single.run(spec, () => Promise.reject(toError(error))),
    batch: (list, options) => client.batch(list, options),
    openCursor: (signal) => openCursor(host, signal),
    begin: () => begin(host),
  }
  const typed = typedOf(sender)
  const api: Database = {
    ...createQueries(sender, typed),
    transaction: (fn, options) => client.transaction(fn, options),
    session: (fn, options) => client.session(fn, options),
    script: (sql, options) => client.script(sql, options),
    listen: async (channel, handler) => host.listener().listen(channel, handler),
    migrate: (migrations, options) => client.migrate(migrations, options),
  }
  return { api, typed }
}

class DatabaseClient {
  readonly #host: DatabaseHost

  constructor(host: DatabaseHost) {
    this.#host = host
  }

  readonly send: Send = (spec, sql, params, options, read, extras) => {
    const { single, statements } = this.#host
    let statement
    try {
      statement = statements.of(sql)
      refuseOnShared(statement)
    } catch (error) {
      return single.run(spec.once, () => Promise.reject(toError(error)))
    }
    const repeatable = options?.idempotent ?? statement.read
    return single.run(
      repeatable ? spec.repeatable : spec.once,
      (call) => {
        const request = new Request(statement, params, { repeatable, ...extras })
        this.#host.pool().run(request, call.remainingMs, call.signal)
        return request.promise.then(read)
      },
      options,
    )
  }

  batch(list: readonly BatchStatement[], options?: CallOptions): AsyncResult<readonly BatchAnswer[]> {
    const { single, statements, component } = this.#host
    let parts: readonly BatchPart[]
    try {
      parts = partsOf(list, statements, refuseOnShared)
    } catch (error) {
      return single.run(BATCH.once, () => Promise.reject(toError(error)))
    }
    const repeatable = parts.every(({ statement }) => statement.read)
    return single.run(
      repeatable ? BATCH.repeatable : BATCH.once,
      (call) =>
        withOwn(this.#host, 'batch', call, (own) =>
          sendParts(component, parts, ({ statement, params }) =>
            own.raw(statement, call.remainingMs, statement.read, params),
          ),
        ),
      options,
    )
  }

  transaction<T>(fn: (tx: Transaction) => Promise<T>, options: TransactionOptions = {}): AsyncResult<T> {
    return this.#host.transactions.run(
      TRANSACTION,
      (call) => runRetrying(this.#host, fn, options, call),
      callOptions(options),
    )
  }

  session<T>(fn: (session: Session) => Promise<T>, options: SessionOptions = {}): AsyncResult<T> {
    return this.#host.transactions.run(
      SESSION,
      (call) =>
        withOwn(this.#host, 'session', call, async (own) => {
          try {
            return await fn(sessionOf(this.#host.component, own, call.signal))
          } finally {
            // What was set on it would surprise the next one.
            own.connection.retire()
          }
        }),
      callOptions(options),
    )
  }

  script(sql: string, options: SessionOptions = {}): AsyncResult<void> {
    return this.#host.transactions.run(
      SCRIPT,
      (call) =>
        withOwn(this.#host, 'script', call, async (own) => {
          try {
            await own.control(this.#host.statements.of(sql).text, call.remainingMs, false)
          } finally {
            own.connection.retire()
          }
        }),
      callOptions(options),
    )
  }

  migrate(migrations: readonly Migration[], options: SessionOptions = {}): AsyncResult<readonly string[]> {
    const host = this.#host
    const { component } = host
    return host.transactions.run(
      MIGRATE,
      (call) => migrate({ component, transaction: (fn) => runRetrying(host, fn, {}, call) }, migrations),
      callOptions(options),
    )
  }
}

function callOptions({ signal, timeout, label }: SessionOptions): SessionOptions {
  return { signal, timeout, label }
}
