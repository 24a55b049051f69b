/** What services are handed: the types of the postgres component, and what each call promises. */
// Both are optional: without them the published declarations must compile all the same, also with `skipLibCheck: false`.
// The comments below are kept in the declarations; what is not installed is `any` there, and cannot be used anyway.
/** @ts-ignore */
import type { Kysely } from 'kysely'
/** @ts-ignore */
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { BatchResult } from '../../core/batch-result.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { Duration } from '../../core/duration.ts'
import type { CallOptions } from '../../telemetry/operate.ts'
import type { ComponentBase } from '../../app/component.ts'

export type Row = Record<string, unknown>

export interface QueryOptions extends CallOptions {
  /**
   * May the statement be sent twice? Then it is sent again after a lost connection, and may share one with others.
   * @default true for a select without locks, side effects or functions other than PostgreSQL's own reading ones
   */
  readonly idempotent?: boolean | undefined
}

/** Everything that can be asked of a database, of a transaction and of a session alike. */
export interface Queryable {
  /** The rows. `params` are `$1`, `$2`, …: never part of the text. */
  query<T extends object = Row>(
    sql: string,
    params?: readonly unknown[],
    options?: QueryOptions,
  ): AsyncResult<T[]>
  /** The first row, or undefined. */
  queryOne<T extends object = Row>(
    sql: string,
    params?: readonly unknown[],
    options?: QueryOptions,
  ): AsyncResult<T | undefined>
  /** Sends any statement; how many rows it touched. */
  execute(sql: string, params?: readonly unknown[], options?: QueryOptions): AsyncResult<number>
  /** Sends an insert; how many rows it made. */
  insert(sql: string, params?: readonly unknown[], options?: QueryOptions): AsyncResult<number>
  /** Sends an update; how many rows it changed. */
  update(sql: string, params?: readonly unknown[], options?: QueryOptions): AsyncResult<number>
  /** Sends a delete; how many rows it removed. */
  delete(sql: string, params?: readonly unknown[], options?: QueryOptions): AsyncResult<number>
  /**
   * Sends up to 10,000 statements in one round trip. Outside a transaction each stands for itself: one that fails
   * leaves the others alone.
   */
  batch(statements: readonly BatchStatement[], options?: CallOptions): BatchResult<Row[]>
  /**
   * Inserts many rows in one statement; the inserted rows' `returning` columns, or nothing without it. The columns are
   * those of the first row; what a row leaves out is null. At most 100,000 rows.
   */
  insertMany<T extends object = Row>(
    table: string,
    rows: readonly Row[],
    options?: InsertManyOptions,
  ): AsyncResult<InsertedMany<T>>
  /** Sends a notification; inside a transaction it leaves with the commit. The payload has less than 8,000 bytes. */
  notify(channel: string, payload?: string, options?: CallOptions): AsyncResult<void>
  /**
   * Rows of a large result, `batchSize` at a time. Leaving the loop closes the cursor. The deadline counts for each
   * batch, not for the whole.
   */
  stream<T extends object = Row>(
    sql: string,
    params?: readonly unknown[],
    options?: StreamOptions,
  ): AsyncIterableIterator<T>
  /** Typed queries by Kysely (an optional package), sent as every other statement here. */
  kysely<Tables>(): Kysely<Tables>
  /** Typed queries by Drizzle (an optional package), sent as every other statement here. */
  drizzle<Schema extends Record<string, unknown> = Record<string, never>>(
    schema?: Schema,
  ): NodePgDatabase<Schema>
}

export type BatchStatement =
  string | { readonly sql: string; readonly params?: readonly unknown[] | undefined }

export interface InsertManyOptions extends CallOptions {
  /** @default the keys of the first row */
  readonly columns?: readonly string[] | undefined
  /** What to do with a row that exists already. @default 'fail' */
  readonly onConflict?: 'fail' | 'ignore' | undefined
  readonly returning?: readonly string[] | undefined
}

export interface InsertedMany<T> {
  readonly count: number
  readonly rows: T[]
}

export interface StreamOptions {
  /** Rows fetched at once, 1 to 100,000. @default 500 */
  readonly batchSize?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export type Isolation = 'read committed' | 'repeatable read' | 'serializable'

export interface TransactionOptions {
  /** @default 'read committed' */
  readonly isolation?: Isolation | undefined
  /**
   * How often the function is run again after a serialization failure, a deadlock, a lock timeout, or a connection
   * lost before the commit was sent, all of this component; 0 to 20. What it does outside of `tx` is done again, too.
   * @default 5
   */
  readonly retries?: number | undefined
  /** The server refuses writes in it. @default false */
  readonly readOnly?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Limit of the whole transaction, retries included. @default '30s' (POSTGRES_TRANSACTION_TIMEOUT) */
  readonly timeout?: Duration | undefined
  /** Shown in spans and in the log of slow calls. */
  readonly label?: string | undefined
}

/** A transaction under way. Its calls reject with SLUICE_CLOSED once the function has settled. */
export interface Transaction extends Queryable {
  /** Aborts when the transaction has to end: deadline, cancel, abort by the caller. */
  readonly signal: AbortSignal
  /** 1 for the first run of the function. */
  readonly attempt: number
  /** A savepoint: when `fn` rejects, what it did is undone, and the transaction goes on. One at a time. */
  transaction<T>(fn: (tx: Transaction) => Promise<T>): Promise<T>
  /**
   * Runs after the commit, in order; never when the transaction is rolled back. A promise that it returns is not waited
   * for. What it throws or rejects with is logged.
   */
  afterCommit(fn: () => unknown): void
  /** Several statements in one text, without parameters. */
  script(sql: string, options?: CallOptions): AsyncResult<void>
}

/** One connection to itself, for what belongs to a connection: settings, temporary tables, session locks. */
export interface Session extends Queryable {
  /** Aborts when the session has to end. */
  readonly signal: AbortSignal
  /** Several statements in one text, without parameters. */
  script(sql: string, options?: CallOptions): AsyncResult<void>
}

export interface SessionOptions {
  readonly signal?: AbortSignal | undefined
  /** Limit of the whole session. @default '30s' (POSTGRES_TRANSACTION_TIMEOUT) */
  readonly timeout?: Duration | undefined
  readonly label?: string | undefined
}

export interface Notification {
  readonly channel: string
  /** Empty when `gap` is true. */
  readonly payload: string
  /** The connection was lost and is back: notifications may have been missed meanwhile. Look for yourself. */
  readonly gap: boolean
}

/** An open `listen`. */
export interface Listening extends AsyncDisposable {
  /** Ends it. Idempotent; the handler is not called after. */
  close(): Promise<void>
}

export interface Migration {
  /** Unique and lasting, such as `001_todos`. Migrations run in the order of the list. */
  readonly name: string
  /** SQL (several statements are fine), or a function. Runs in a transaction: all of it or nothing. */
  readonly up: string | ((tx: Transaction) => Promise<void>)
}

/** One database. */
export interface Database extends Queryable {
  /**
   * Runs `fn` in a transaction on a connection of its own: committed when it resolves, rolled back when it rejects.
   * SLUICE_OUTCOME_UNKNOWN: the connection was lost after the commit was sent.
   */
  transaction<T>(fn: (tx: Transaction) => Promise<T>, options?: TransactionOptions): AsyncResult<T>
  /** Runs `fn` with a connection of its own, which is closed afterwards, with all that was set on it. */
  session<T>(fn: (session: Session) => Promise<T>, options?: SessionOptions): AsyncResult<T>
  /** Several statements in one text, without parameters: one transaction, unless the text itself begins others. */
  script(sql: string, options?: SessionOptions): AsyncResult<void>
  /**
   * Calls `handler` for each notification of the channel, in order, and once with `gap: true` after each reconnect.
   * Uses one connection for all channels, beside the pool. Resolves when the server listens. A promise of the handler is
   * not waited for: the next notification may come before. What it throws or rejects with is logged.
   */
  listen(channel: string, handler: (notification: Notification) => unknown): Promise<Listening>
  /**
   * Runs the migrations that have not run, each in a transaction, under a lock that other processes wait for.
   * The names of those that ran now. SLUICE_CONFLICT: one that ran before was changed, renamed or removed.
   */
  migrate(migrations: readonly Migration[], options?: SessionOptions): AsyncResult<readonly string[]>
}

export interface Postgres extends ComponentBase, Database {
  /** A database of `connections`, or one added since. SLUICE_INVALID_ARGUMENT lists the known ones. */
  database(name: string): Database
  /** Names of the databases that `database` takes. */
  databases(): readonly string[]
  /** Adds a database by its DSN, or the one of that name on this server. Opens no connection before it is used. */
  addDatabase(name: string, dsn?: string): Database
  /** Closes the connections to the database and forgets it. */
  removeDatabase(name: string, options?: CallOptions): AsyncResult<void>
  /** Creates a database on this server, if it is not there, and adds it under its name. */
  createDatabase(name: string, options?: CallOptions): AsyncResult<Database>
  /** Removes the database and drops it on this server, connections of others included. What it held is gone. */
  dropDatabase(name: string, options?: CallOptions): AsyncResult<void>
}
