/** `sluice/postgres`: PostgreSQL as a component, on a server of yours or on one started from node_modules. */
import type { ComponentContext, ComponentDefinition } from '../../app/component.ts'
import type { Duration } from '../../core/duration.ts'
import type { Migration, Postgres } from './api.ts'
import { createPostgres } from './component.ts'
import { section, type PostgresConfig } from './section.ts'

export type {
  BatchStatement,
  Database,
  InsertedMany,
  InsertManyOptions,
  Isolation,
  Listening,
  Migration,
  Notification,
  Postgres,
  Queryable,
  QueryOptions,
  Row,
  Session,
  SessionOptions,
  StreamOptions,
  Transaction,
  TransactionOptions,
} from './api.ts'

/** Values given in code win over the environment and sluice.yaml. Durations are milliseconds or text such as '5s'. */
export interface PostgresOptions {
  /** POSTGRES_DSN. @default an embedded server */
  readonly dsn?: string
  /** More databases by name, each with its DSN: `db.database(name)`. */
  readonly connections?: Readonly<Record<string, string>>
  /** POSTGRES_MAX_OPEN_CONNS: connections open at once. @default 10 */
  readonly maxOpenConns?: number
  /** POSTGRES_MAX_IDLE_CONNS: connections kept without work, at most. @default 5 */
  readonly maxIdleConns?: number
  /** POSTGRES_MIN_CONNS: connections kept open, at least. @default 1 */
  readonly minConns?: number
  /** POSTGRES_NAMED_MAX_OPEN_CONNS: connections open at once to each named database. @default 4 */
  readonly namedMaxOpenConns?: number
  /** POSTGRES_CONN_MAX_LIFETIME: a connection is replaced after this long. @default '1h' */
  readonly connMaxLifetime?: Duration
  /** POSTGRES_CONN_MAX_IDLE_TIME: a connection is closed after this long without work. @default '10m' */
  readonly connMaxIdleTime?: Duration
  /** POSTGRES_QUERY_TIMEOUT: deadline of a statement, in the client. @default '30s' */
  readonly queryTimeout?: Duration
  /** POSTGRES_TRANSACTION_TIMEOUT: deadline of a transaction, retries included. @default '30s' */
  readonly transactionTimeout?: Duration
  /** POSTGRES_CONNECT_TIMEOUT: limit of opening one connection. @default '5s' */
  readonly connectTimeout?: Duration
  /** POSTGRES_PREPARED_STATEMENTS: prepare what is sent more than once. @default true */
  readonly preparedStatements?: boolean
  /** POSTGRES_DATA_DIR: directory of the embedded server. @default '.sluice/<app>/postgres' */
  readonly dataDir?: string
  /** POSTGRES_BIN_DIR: programs of an installed PostgreSQL, for the embedded server. @default the npm package's */
  readonly binDir?: string
  /**
   * Run while connecting, those that have not run, under a lock that other processes wait for: ready means migrated.
   * They share the limit of a connect, `infrastructure.timeouts.<name>` (one minute); one that takes longer is rolled back
   * and tried again, so run `sluice migrate` before the start for such. @default none
   */
  readonly migrations?: readonly Migration[]
  /** Names of components that must be ready first. */
  readonly dependsOn?: readonly string[]
}

/** What `postgres()` returns. */
export interface PostgresDefinition extends ComponentDefinition<Postgres, typeof section.fields> {
  /** What `sluice migrate` runs. */
  readonly migrations: readonly Migration[]
}

/** PostgreSQL at `POSTGRES_DSN`; without it, a private server started from node_modules. */
export function postgres(options: PostgresOptions = {}): PostgresDefinition {
  const { connections, dependsOn = [], migrations = [], ...values } = options
  const multiConfig =
    connections === undefined
      ? {}
      : {
          multiConfig: Object.fromEntries(Object.entries(connections).map(([name, dsn]) => [name, { dsn }])),
        }
  return Object.freeze({
    kind: 'postgres',
    section,
    overrides: Object.freeze({ ...values, ...multiConfig }),
    dependsOn: Object.freeze([...dependsOn]),
    workers: 15,
    connectTimeoutMs: 60_000,
    migrations,
    create: (context: ComponentContext<PostgresConfig>) => createPostgres(context, migrations),
  })
}
