/** The configuration of redis: environment names that deployments already have, their units and defaults. */
import { boolean, duration, field, integer, right, secret, size, text, wrong } from '../../config/fields.ts'
import { redactUrl } from '../../config/redact.ts'
import { defineSection, type Field, type SectionValues } from '../../config/section.ts'
import { parseAddress } from './address.ts'

/** A connection string, checked while the configuration is read, so that a wrong one stops the start. */
function address(options: { readonly env: string; readonly doc: string }): Field<string | undefined> {
  const type = "host:port, or a URL that begins with 'redis://', 'rediss://' or 'unix://'"
  return field<string>(
    options,
    type,
    (raw) => {
      if (typeof raw !== 'string' || raw.trim() === '') return wrong(type)
      const parsed = parseAddress(raw.trim())
      return 'expected' in parsed ? wrong(parsed.expected) : right(raw.trim())
    },
    { secrecy: 'url', show: redactUrl },
  )
}

export const redisSection = defineSection({
  name: 'redis',
  fields: {
    addr: address({ env: 'REDIS_ADDR', doc: 'Address of the server; without it, data is kept in memory' }),
    username: text({ env: 'REDIS_USERNAME', doc: 'User of the access control list' }),
    password: secret({ env: 'REDIS_PASSWORD', doc: 'Password; wins over the one in the address' }),
    db: integer({ env: 'REDIS_DB', min: 0, max: 65_535, doc: 'Database number; wins over the address' }),
    tlsRejectUnauthorized: boolean({
      env: 'REDIS_TLS_REJECT_UNAUTHORIZED',
      default: true,
      doc: 'false accepts any certificate: for tests only, it is logged as a warning',
    }),
    tlsCa: text({
      env: 'REDIS_TLS_CA',
      doc: 'File with the authorities that may vouch for the server, instead of those of Node',
    }),
    tlsCert: text({ env: 'REDIS_TLS_CERT', doc: 'File with the certificate of the client' }),
    tlsKey: text({ env: 'REDIS_TLS_KEY', doc: 'File with the key of that certificate' }),
    keyPrefix: text({ env: 'REDIS_KEY_PREFIX', doc: 'Put before every key and channel' }),
    maxRetries: integer({
      env: 'REDIS_MAX_RETRIES',
      default: 2,
      min: -1,
      max: 10,
      doc: 'Retries of a command that may be repeated; 0 or -1 for none',
    }),
    dialTimeout: duration({
      env: 'REDIS_DIAL_TIMEOUT',
      unit: 's',
      default: '5s',
      min: '10ms',
      doc: 'Limit of opening a connection, authentication included',
    }),
    readTimeout: duration({
      env: 'REDIS_READ_TIMEOUT',
      unit: 's',
      default: '3s',
      min: '10ms',
      doc: 'Limit of the wait for a reply',
    }),
    writeTimeout: duration({
      env: 'REDIS_WRITE_TIMEOUT',
      unit: 's',
      default: '3s',
      min: '10ms',
      doc: 'Limit of sending; the longer of read and write timeout counts for an operation as a whole',
    }),
    poolTimeout: duration({
      env: 'REDIS_POOL_TIMEOUT',
      unit: 's',
      default: '1s',
      doc: 'Added to the limit of an operation for the wait until it may be sent',
    }),
    poolSize: integer({
      env: 'REDIS_POOL_SIZE',
      default: 1,
      min: 1,
      max: 256,
      doc: 'Connections at most. Commands are pipelined: one connection carries hundreds of callers',
    }),
    minIdleConns: integer({
      env: 'REDIS_MIN_IDLE_CONNS',
      default: 1,
      min: 0,
      max: 256,
      doc: 'Connections opened at the start and kept open',
    }),
    maxConnAge: duration({
      env: 'REDIS_MAX_CONN_AGE',
      unit: 's',
      default: 0,
      doc: 'A connection older than this is replaced; 0 for never',
    }),
    idleTimeout: duration({
      env: 'REDIS_IDLE_TIMEOUT',
      unit: 's',
      default: '5m',
      doc: 'A connection beyond the minimum that was idle for this long is closed; 0 for never',
    }),
    pingInterval: duration({
      env: 'REDIS_PING_INTERVAL',
      unit: 's',
      default: '5s',
      min: '50ms',
      doc: 'How often a connection is asked for a sign of life, so that a dead one is found',
    }),
    maxInFlight: integer({
      env: 'REDIS_MAX_IN_FLIGHT',
      default: 1_024,
      min: 1,
      max: 100_000,
      doc: 'Operations under way at once; more wait',
    }),
    maxWaiting: integer({
      env: 'REDIS_MAX_WAITING',
      default: 10_000,
      min: 0,
      max: 1_000_000,
      doc: 'Operations that may wait; more are refused with SLUICE_POOL_FULL',
    }),
    maxEntries: integer({
      env: 'REDIS_MEMORY_MAX_ENTRIES',
      default: 100_000,
      min: 1,
      doc: 'In memory: keys at most; the ones used longest ago go first',
    }),
    maxBytes: size({
      env: 'REDIS_MEMORY_MAX_BYTES',
      default: '64mb',
      min: '1kb',
      doc: 'In memory: estimated bytes at most',
    }),
  },
  check: (values) =>
    values.minIdleConns > values.poolSize
      ? [{ field: 'minIdleConns', expected: `at most poolSize, which is ${values.poolSize}` }]
      : [],
})

export type RedisConfig = SectionValues<typeof redisSection.fields>
