/** One database: its connections, its statements, and the calls on it. */
import type { AsyncResult } from '../../core/async-result.ts'
import { onAbort } from '../../core/abort.ts'
import { isSluiceError, SluiceError, toError } from '../../core/errors.ts'
import type { Call, CallOptions, OperationSpec, Operations } from '../../telemetry/operate.ts'
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
import { sqlState } from './failures.ts'
import type { Listener } from './listener.ts'
import { migrate } from './migrate.ts'
import { OwnConnection, type OwnHost } from './own-connection.ts'
import type { ConnectionPool } from './pool.ts'
import { createQueries, typedOf, type Sender } from './queries.ts'
import { Request } from './request.ts'
import { specPair, type Send } from './send.ts'
import { refuseOnShared } from './statement.ts'
import type { CursorConnection } from './stream.ts'
import { rolledBack, runTransaction } from './transaction.ts'
import type { TypedConnection, TypedHost } from './typed.ts'

export interface DatabaseHost extends OwnHost {
  readonly random: () => number
  /** For single statements. */
  readonly single: Operations
  /** For what has a connection of its own. */
  readonly transactions: Operations
  /** The connections, or a refusal (thrown). Made by `connect`. */
  pool(): ConnectionPool
  listener(): Listener
}

const BATCH = specPair('batch')
const TYPED = specPair('query')
const TRANSACTION: OperationSpec = Object.freeze({ name: 'transaction', idempotent: false })
const SESSION: OperationSpec = Object.freeze({ name: 'session', idempotent: false })
const CURSOR: OperationSpec = Object.freeze({ name: 'openCursor', idempotent: false })
const SCRIPT: OperationSpec = Object.freeze({ name: 'script', idempotent: false })
const MIGRATE: OperationSpec = Object.freeze({ name: 'migrate', idempotent: false })
const MAX_RETRIES = 20
const DEFAULT_RETRIES = 5
const RETRY_BASE_MS = 10
const RETRY_CAP_MS = 500
const END_MS = 1_000

export function createDatabase(host: DatabaseHost): { readonly api: Database; readonly typed: TypedHost } {
  const client = new DatabaseClient(host)
  const sender: Sender = {
    component: host.component,
    send: client.send,
    fail: (spec, error) => host.single.run(spec, () => Promise.reject(toError(error))),
    batch: (list, options) => client.batch(list, options),
    openCursor: (signal) => client.openCursor(signal),
    begin: () => client.begin(),
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
        this.#withOwn('batch', call, (own) =>
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
      (call) => this.#retrying(fn, options, call),
      callOptions(options),
    )
  }

  session<T>(fn: (session: Session) => Promise<T>, options: SessionOptions = {}): AsyncResult<T> {
    return this.#host.transactions.run(
      SESSION,
      (call) =>
        this.#withOwn('session', call, async (own) => {
          try {
            return await fn(this.#sessionOf(own, call))
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
        this.#withOwn('script', call, async (own) => {
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
    const { component } = this.#host
    return this.#host.transactions.run(
      MIGRATE,
      (call) => migrate({ component, transaction: (fn) => this.#retrying(fn, {}, call) }, migrations),
      callOptions(options),
    )
  }

  /** A cursor in a read-only transaction. Only its opening is an operation; each fetch is one of its own. */
  async openCursor(signal: AbortSignal | undefined): Promise<CursorConnection> {
    const { own, release } = await this.#take('stream', CURSOR, signal)
    try {
      await own.control('begin isolation level read committed read only', END_MS)
    } catch (error) {
      release()
      throw error
    }
    const off = onAbort(signal, () => own.connection.destroy(givenUp(this.#host.component)))
    return {
      name: 'sluice_cursor',
      send: (spec, sql, params) => own.send(spec, sql, params, undefined, (result) => result),
      finish: async () => {
        off()
        if (!own.closed && !own.connection.isClosed) await own.control('commit', END_MS).catch(() => {})
        release()
      },
    }
  }

  async begin(): Promise<TypedConnection> {
    const { own, release } = await this.#take('transaction', TRANSACTION, undefined)
    return {
      query: async (sql, params, extras) => {
        if (!/^\s*(begin|commit|rollback|savepoint|release)\b/i.test(sql)) {
          return own.send(TYPED, sql, params, undefined, (result) => result, extras)
        }
        const isCommit = /^\s*commit\b/i.test(sql)
        const result = await own.control(sql, this.#host.controlMs, !isCommit)
        if (isCommit && result.command === 'ROLLBACK')
          throw rolledBack(this.#host.component, own.firstFailure)
        return result
      },
      release: () => Promise.resolve(release()),
    }
  }

  /** A connection until `release`; the operation is the taking. */
  async #take(
    what: string,
    spec: OperationSpec,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly own: OwnConnection; readonly release: () => void }> {
    const connection = await this.#host.transactions.run(
      spec,
      (call) => this.#host.pool().lease(call.signal),
      { signal },
    )
    const own = new OwnConnection(this.#host, connection, what, () => {})
    const release = (): void => {
      own.tidy()
      this.#host.pool().release(connection)
    }
    return { own, release }
  }

  async #withOwn<T>(what: string, call: Call, use: (own: OwnConnection) => Promise<T>): Promise<T> {
    const { signal } = call
    const connection = await this.#host.pool().lease(signal)
    const own = new OwnConnection(this.#host, connection, what, () => {})
    const off = onAbort(signal, () => connection.destroy(givenUp(this.#host.component)))
    try {
      return await use(own)
    } finally {
      off()
      own.tidy()
      this.#host.pool().release(connection)
    }
  }

  #sessionOf(own: OwnConnection, call: Call): Session {
    let cursors = 0
    return {
      ...createQueries({
        component: this.#host.component,
        send: own.send,
        fail: (spec, error) => own.fail(spec, error),
        batch: (list, more) => own.batch(list, more),
        openCursor: async () => {
          const began = !own.inTransaction
          if (began) await own.control('begin', END_MS)
          const name = `sluice_cursor_${++cursors}`
          return {
            name,
            send: (spec, sql, params) => own.send(spec, sql, params, undefined, (result) => result),
            finish: async () => {
              if (own.closed || own.connection.isClosed) return
              await own.control(began ? 'commit' : `close ${name}`, END_MS).catch(() => {})
            },
          }
        },
        begin: () =>
          Promise.resolve({
            query: (sql, params, extras) =>
              own.send(TYPED, sql, params, undefined, (result) => result, extras),
            release: () => Promise.resolve(),
          }),
      }),
      signal: call.signal,
      script: (sql, options) => own.script(sql, options),
    }
  }

  async #retrying<T>(
    fn: (tx: Transaction) => Promise<T>,
    options: TransactionOptions,
    call: Call,
  ): Promise<T> {
    const { retries = DEFAULT_RETRIES } = options
    if (!Number.isInteger(retries) || retries < 0 || retries > MAX_RETRIES) {
      throw new SluiceError(
        'SLUICE_INVALID_ARGUMENT',
        `transaction.retries: expected a whole number from 0 to ${MAX_RETRIES}, got ${String(retries)}`,
      )
    }
    const { signal } = call
    let failure: unknown
    for (let attempt = 1; ; attempt++) {
      let began = false
      try {
        const run = { signal, attempt, remainingMs: () => call.remainingMs }
        return await this.#runOnce(fn, options, run, () => (began = true))
      } catch (error) {
        if (signal.aborted) throw error
        // Why it failed says more than why it could not be run again.
        if (began || attempt === 1) failure = error
        if (attempt > retries || !mayRunAgain(error)) throw failure
        const ms = this.#host.random() * Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** attempt)
        await this.#host.clock.sleep(ms, { signal })
      }
    }
  }

  async #runOnce<T>(
    fn: (tx: Transaction) => Promise<T>,
    options: TransactionOptions,
    run: { readonly signal: AbortSignal; readonly attempt: number; remainingMs(): number },
    onLease: () => void,
  ): Promise<T> {
    const pool = this.#host.pool()
    const connection = await pool.lease(run.signal)
    onLease()
    try {
      return await runTransaction(this.#host, connection, fn, options, run)
    } finally {
      pool.release(connection)
    }
  }
}

/** Serialization failure, deadlock, lock timeout, or a connection lost before the commit; also as another's cause. */
function mayRunAgain(error: unknown): boolean {
  let each: unknown = error
  for (let depth = 0; depth < 5 && each instanceof Error; depth++) {
    const state = sqlState(each)
    if (state === '40001' || state === '40P01' || state === '55P03') return true
    if (isSluiceError(each) && each.code === 'SLUICE_UNAVAILABLE' && each.retryable) return true
    each = each.cause
  }
  return false
}

function callOptions({ signal, timeout, label }: SessionOptions): SessionOptions {
  return { signal, timeout, label }
}

function givenUp(component: string): SluiceError {
  return new SluiceError('SLUICE_UNAVAILABLE', `${component}: the connection was given up by its user`, {
    component,
    retryable: true,
  })
}
