/** The configuration of postgres: names that deployments already use, and what each does. */
import { defineSection } from '../../config/section.ts'
import { boolean, duration, integer, oneOf, record, secret, text } from '../../config/fields.ts'
import { dsn, withDatabase, type Target } from './dsn.ts'
import { SSL_MODES } from './tls.ts'

export const section = defineSection({
  name: 'postgres',
  fields: {
    dsn: dsn({
      env: ['POSTGRES_DSN'],
      doc: 'Address of the server, as a URL or as key=value pairs; without it an embedded server is started.',
    }),
    maxOpenConns: integer({
      env: 'POSTGRES_MAX_OPEN_CONNS',
      default: 10,
      min: 1,
      max: 10_000,
      doc: 'Connections open at once, at most.',
    }),
    maxIdleConns: integer({
      env: 'POSTGRES_MAX_IDLE_CONNS',
      default: 5,
      min: 0,
      max: 10_000,
      doc: 'Connections without work that are kept, at most.',
    }),
    minConns: integer({
      env: 'POSTGRES_MIN_CONNS',
      default: 1,
      min: 1,
      max: 10_000,
      doc: 'Connections kept open, at least: the warm minimum.',
    }),
    connMaxLifetime: duration({
      env: 'POSTGRES_CONN_MAX_LIFETIME',
      unit: 'm',
      default: '1h',
      doc: 'A connection is replaced after this long; 0 for never.',
    }),
    connMaxIdleTime: duration({
      env: 'POSTGRES_CONN_MAX_IDLE_TIME',
      unit: 'm',
      default: '10m',
      doc: 'A connection above the minimum is closed after this long without work; 0 for never.',
    }),
    queryTimeout: duration({
      env: 'POSTGRES_QUERY_TIMEOUT',
      unit: 's',
      default: '30s',
      min: 1,
      doc: 'A statement that is not answered by then fails, also when the server is frozen.',
    }),
    transactionTimeout: duration({
      env: 'POSTGRES_TRANSACTION_TIMEOUT',
      unit: 's',
      default: '30s',
      min: 1,
      doc: 'Limit of a whole transaction, retries included.',
    }),
    connectTimeout: duration({
      env: 'POSTGRES_CONNECT_TIMEOUT',
      unit: 's',
      default: '5s',
      min: 1,
      doc: 'A connection that is not up by then is given up.',
    }),
    preparedStatements: boolean({
      env: 'POSTGRES_PREPARED_STATEMENTS',
      default: true,
      doc: 'Prepare what is sent more than once. Turn it off behind a pooler that mixes sessions.',
    }),
    multiConfig: record(
      {
        enabled: boolean({ default: true, doc: 'false leaves it out.' }),
        dsn: dsn({ doc: 'Address of the database; or the parts below.' }),
        host: text({ doc: 'Name or address of the server.' }),
        port: integer({ default: 5432, min: 1, max: 65_535, doc: 'Port of the server.' }),
        user: text({ doc: 'Role.' }),
        password: secret({ doc: 'Password of the role.' }),
        dbname: text({ doc: 'Name of the database; alone, a database on the server of postgres.dsn.' }),
        sslmode: oneOf(SSL_MODES, { doc: 'As in the DSN; without it plaintext.' }),
      },
      { doc: 'More databases, each with a name: db.database(name).' },
    ),
    namedMaxOpenConns: integer({
      env: 'POSTGRES_NAMED_MAX_OPEN_CONNS',
      default: 4,
      min: 1,
      max: 10_000,
      doc: 'Connections open at once to each named database, at most.',
    }),
    dataDir: text({
      env: 'POSTGRES_DATA_DIR',
      doc: 'Directory of the embedded server. Default: .sluice/<app>/postgres below the working directory.',
    }),
    binDir: text({
      env: 'POSTGRES_BIN_DIR',
      doc: 'Directory with the programs of an installed PostgreSQL, for the embedded server.',
    }),
  },
  check: ({ minConns, maxIdleConns, maxOpenConns, multiConfig }, given) => [
    ...(minConns > maxOpenConns
      ? [{ field: 'minConns', expected: `at most max_open_conns (${maxOpenConns})` }]
      : []),
    ...(minConns > maxIdleConns && given?.('minConns') === true && given('maxIdleConns')
      ? [{ field: 'minConns', expected: `at most max_idle_conns (${maxIdleConns}), which it would undo` }]
      : []),
    ...Object.entries(multiConfig ?? {})
      .filter(([, each]) => each.dsn === undefined && each.dbname === undefined)
      .map(([name]) => ({ field: 'multiConfig', expected: `dsn or dbname in ${name}` })),
  ],
})

export type PostgresConfig = Parameters<NonNullable<typeof section.check>>[0]

export type NamedConfig = NonNullable<PostgresConfig['multiConfig']>[string]

/** Where a database of `multi_config` is. Without a host it is on the main server. */
export function namedTarget(named: NamedConfig, main: () => Target): Target {
  const { dsn: given, host, port, user, password, dbname = '', sslmode } = named
  if (given !== undefined) return { dsn: given }
  if (host === undefined) return withDatabase(main(), dbname)
  const credentials =
    user === undefined
      ? ''
      : `${encodeURIComponent(user)}${password === undefined ? '' : `:${encodeURIComponent(password)}`}@`
  const query = sslmode === undefined ? '' : `?sslmode=${encodeURIComponent(sslmode)}`
  return { dsn: `postgres://${credentials}${host}:${port}/${encodeURIComponent(dbname)}${query}` }
}
