/** The configuration of mongo: environment names that deployments already have, their units and defaults. */
import {
  boolean,
  duration,
  field,
  integer,
  record,
  right,
  secret,
  text,
  wrong,
  type FieldOptions,
} from '../../config/fields.ts'
import { redactUrl } from '../../config/redact.ts'
import { defineSection, type Field, type SectionValues } from '../../config/section.ts'
import { DATABASE_NAME, isDatabaseName, parseAddress } from './address.ts'

function address(options: FieldOptions): Field<string | undefined> {
  const type = "connection string that begins with 'mongodb://' or 'mongodb+srv://'"
  return field<string>(
    options,
    type,
    (raw) => {
      if (typeof raw !== 'string') return wrong(type)
      const parsed = parseAddress(raw.trim())
      return 'expected' in parsed ? wrong(parsed.expected) : right(raw.trim())
    },
    { secrecy: 'url', show: redactUrl },
  )
}

function databaseName(options: FieldOptions): Field<string | undefined> {
  return field<string>(
    options,
    'name of a database',
    (raw) =>
      typeof raw === 'string' && isDatabaseName(raw.trim()) ? right(raw.trim()) : wrong(DATABASE_NAME),
    { show: String },
  )
}

export const mongoSection = defineSection({
  name: 'mongo',
  fields: {
    url: address({
      env: ['MONGO_URL', 'MONGODB_URL', 'MONGO_URI', 'MONGODB_URI'],
      doc: 'Where the servers are; without it, and without multi_config, the component is disabled',
    }),
    database: databaseName({
      env: ['MONGO_DATABASE', 'MONGODB_DATABASE'],
      doc: 'Database; without it that of the URL, else the name of the app',
    }),
    username: text({
      env: ['MONGO_USERNAME', 'MONGODB_USERNAME'],
      doc: 'User, in place of the one in the URL',
    }),
    password: secret({ env: ['MONGO_PASSWORD', 'MONGODB_PASSWORD'], doc: 'Password of that user' }),
    multiConfig: record(
      {
        enabled: boolean({ default: true, doc: 'false leaves it out.' }),
        url: address({ doc: 'Where its servers are; without it, on those of mongo.url.' }),
        database: databaseName({ doc: 'Database; without it that of the URL, else the name of the entry.' }),
      },
      {
        doc: 'More databases, each with a name: mongo.database(name). The first is the main one where no url is set.',
      },
    ),
    maxPoolSize: integer({
      env: 'MONGO_MAX_POOL_SIZE',
      default: 20,
      min: 1,
      max: 10_000,
      doc: 'Connections to each server at most, and calls at once on the main one; each change stream has one more',
    }),
    minPoolSize: integer({
      env: 'MONGO_MIN_POOL_SIZE',
      default: 0,
      min: 0,
      max: 10_000,
      doc: 'Connections to each server that are kept open',
    }),
    maxIdleTime: duration({
      env: 'MONGO_MAX_IDLE_TIME',
      unit: 's',
      default: '10m',
      doc: 'A connection without work for this long is closed; 0 for never',
    }),
    maxWaiting: integer({
      env: 'MONGO_MAX_WAITING',
      default: 10_000,
      min: 0,
      max: 1_000_000,
      doc: 'Calls that may wait for a connection; more are refused with SLUICE_POOL_FULL',
    }),
    dialTimeout: duration({
      env: 'MONGO_DIAL_TIMEOUT',
      unit: 's',
      default: '5s',
      min: '10ms',
      doc: 'Limit of opening a connection, and of the answer to a heartbeat',
    }),
    selectionTimeout: duration({
      env: 'MONGO_SELECTION_TIMEOUT',
      unit: 's',
      default: '5s',
      min: '10ms',
      doc: 'How long a call waits for a server that fits, such as a new primary',
    }),
    heartbeat: duration({
      env: 'MONGO_HEARTBEAT',
      unit: 's',
      default: '5s',
      min: '500ms',
      max: '60s',
      doc: 'How often each server is asked whether it is there',
    }),
    requestTimeout: duration({
      env: 'MONGO_REQUEST_TIMEOUT',
      unit: 's',
      default: '10s',
      min: '10ms',
      doc: 'Limit of a call, the wait for a connection included; the server is told it as well',
    }),
    transactionTimeout: duration({
      env: 'MONGO_TRANSACTION_TIMEOUT',
      unit: 's',
      default: '30s',
      min: '10ms',
      doc: 'Limit of a transaction, all its attempts together',
    }),
    maxRetries: integer({
      env: 'MONGO_MAX_RETRIES',
      default: 2,
      min: 0,
      max: 10,
      doc: 'How often a call that may be repeated is sent again',
    }),
    maxDocuments: integer({
      env: 'MONGO_MAX_DOCUMENTS',
      default: 10_000,
      min: 1,
      max: 10_000_000,
      doc: 'Documents that find and aggregate collect at most; more are refused with SLUICE_TOO_LARGE, and stream reads them',
    }),
    batchSize: integer({
      env: 'MONGO_BATCH_SIZE',
      default: 500,
      min: 1,
      max: 100_000,
      doc: 'Documents that a stream asks for at a time; the server ends a batch at 16 MB',
    }),
    maxStreams: integer({
      env: 'MONGO_MAX_STREAMS',
      default: 100,
      min: 1,
      max: 10_000,
      doc: 'Streams that may be open at once',
    }),
    maxWatches: integer({
      env: 'MONGO_MAX_WATCHES',
      default: 20,
      min: 0,
      max: 1_000,
      doc: 'Change streams that may be open at once; each holds a connection',
    }),
    idleTimeout: duration({
      env: 'MONGO_IDLE_TIMEOUT',
      unit: 's',
      default: '60s',
      min: '10ms',
      max: '30m',
      doc: 'A stream of which nothing is taken for this long is closed',
    }),
    tls: boolean({ env: 'MONGO_TLS', doc: 'Encrypt; true for mongodb+srv, and where a file below is set' }),
    tlsCa: text({
      env: 'MONGO_TLS_CA',
      doc: 'File with the authorities that may vouch for the servers, instead of those of Node',
    }),
    tlsCert: text({ env: 'MONGO_TLS_CERT', doc: 'File with the certificate of the client' }),
    tlsKey: text({ env: 'MONGO_TLS_KEY', doc: 'File with the key of that certificate' }),
    tlsRejectUnauthorized: boolean({
      env: 'MONGO_TLS_REJECT_UNAUTHORIZED',
      default: true,
      doc: 'false accepts any certificate: for tests only, it is logged as a warning',
    }),
  },
  check: ({ url, username, password, minPoolSize, maxPoolSize, multiConfig }) => {
    const faults: { field: 'minPoolSize' | 'password' | 'multiConfig'; expected: string }[] = []
    if (minPoolSize > maxPoolSize)
      faults.push({ field: 'minPoolSize', expected: `at most max_pool_size (${maxPoolSize})` })
    if (username !== undefined && password === undefined)
      faults.push({ field: 'password', expected: 'a value, as username is set' })
    for (const [name, each] of Object.entries(multiConfig ?? {}))
      if (each.enabled && url === undefined && each.url === undefined)
        faults.push({ field: 'multiConfig', expected: `url in ${name}, as mongo.url is not set` })
    return faults
  },
})

export type MongoConfig = SectionValues<typeof mongoSection.fields>
