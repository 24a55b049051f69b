/** The configuration of kafka: environment names that deployments already have, their units and defaults. */
import {
  boolean,
  duration,
  field,
  integer,
  oneOf,
  right,
  secret,
  size,
  text,
  wrong,
} from '../../config/fields.ts'
import { defineSection, type Field, type SectionValues } from '../../config/section.ts'
import { parseBrokers } from './brokers.ts'

export const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export const SECURITY_PROTOCOLS = ['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'] as const
export const SASL_MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const

/** Checked while the configuration is read, so that a wrong address stops the start. */
function brokers(options: {
  readonly env: string
  readonly doc: string
}): Field<readonly string[] | undefined> {
  const type = 'addresses host:port, separated by commas, or a list of them'
  return field<readonly string[]>(
    options,
    type,
    (raw) => {
      const parts: unknown = typeof raw === 'string' ? raw.split(',') : raw
      if (!Array.isArray(parts) || parts.some((part) => typeof part !== 'string')) return wrong(type)
      const texts = parts.map((part: string) => part.trim()).filter((part) => part !== '')
      const parsed = parseBrokers(texts)
      return 'expected' in parsed ? wrong(parsed.expected) : right(texts)
    },
    { show: (value) => value.join(',') },
  )
}

export const kafkaSection = defineSection({
  name: 'kafka',
  fields: {
    brokers: brokers({
      env: 'KAFKA_BROKERS',
      doc: 'Addresses to begin with; the cluster names the others. Without it the component is disabled',
    }),
    topic: text({ env: 'KAFKA_TOPIC', doc: 'What `kafka.topic` says; without it, the name of the app' }),
    consumerGroup: text({
      env: 'KAFKA_CONSUMER_GROUP',
      doc: 'Group of `consume` where the call names none; without it, the name of the app',
    }),
    batchSize: integer({
      env: 'KAFKA_BATCH_SIZE',
      default: 1_000,
      min: 1,
      max: 100_000,
      doc: 'Messages of one produce request at most',
    }),
    batchBytes: size({
      env: 'KAFKA_BATCH_BYTES',
      default: '900kb',
      min: '1kb',
      doc: 'Bytes of one produce request at most, below what the broker accepts (message.max.bytes)',
    }),
    maxMessageBytes: size({
      env: 'KAFKA_MAX_MESSAGE_BYTES',
      default: '900kb',
      min: '1kb',
      doc: 'Key, value and headers of one message at most; more is refused with SLUICE_TOO_LARGE',
    }),
    compression: oneOf(COMPRESSIONS, {
      env: 'KAFKA_COMPRESSION',
      default: 'none',
      doc: 'How batches are compressed',
    }),
    idempotent: boolean({
      env: 'KAFKA_IDEMPOTENT',
      default: false,
      doc: 'The broker drops what a retry sends twice; one request is in flight at a time then',
    }),
    maxInFlight: integer({
      env: 'KAFKA_MAX_IN_FLIGHT',
      default: 4,
      min: 1,
      max: 100,
      doc: 'Produce requests in flight at once',
    }),
    maxWaiting: integer({
      env: 'KAFKA_MAX_WAITING',
      default: 10_000,
      min: 0,
      max: 1_000_000,
      doc: 'Messages of single publishes, and calls, that may wait; more are refused with SLUICE_POOL_FULL',
    }),
    maxWaitingBytes: size({
      env: 'KAFKA_MAX_WAITING_BYTES',
      default: '64mb',
      min: '1kb',
      doc: 'Bytes of single publishes that may wait',
    }),
    dialTimeout: duration({
      env: 'KAFKA_DIAL_TIMEOUT',
      unit: 's',
      default: '5s',
      min: '10ms',
      doc: 'Limit of opening a connection',
    }),
    requestTimeout: duration({
      env: 'KAFKA_REQUEST_TIMEOUT',
      unit: 's',
      default: '10s',
      min: '100ms',
      doc: 'Limit of an operation, the wait until it may be sent included',
    }),
    connIdleTime: duration({
      env: 'KAFKA_CONN_IDLE_TIME',
      unit: 's',
      default: '9m',
      doc: 'Connections for publishing that were idle for this long are closed, and opened when needed; 0 for never',
    }),
    sessionTimeout: duration({
      env: 'KAFKA_SESSION_TIMEOUT',
      unit: 's',
      default: '20s',
      min: '500ms',
      max: '10m',
      doc: 'A consumer that was silent for this long has its partitions given to others',
    }),
    maxBufferedBytes: size({
      env: 'KAFKA_MAX_BUFFERED_BYTES',
      default: '16mb',
      min: '1kb',
      doc: 'Bytes of messages that a consumer holds before it stops fetching',
    }),
    securityProtocol: oneOf(SECURITY_PROTOCOLS, {
      env: 'KAFKA_SECURITY_PROTOCOL',
      default: 'PLAINTEXT',
      doc: 'Encryption and authentication',
    }),
    saslMechanism: oneOf(SASL_MECHANISMS, {
      env: 'KAFKA_SASL_MECHANISM',
      default: 'SCRAM-SHA-512',
      doc: 'How the password is proved',
    }),
    saslUsername: text({ env: 'KAFKA_SASL_USERNAME', doc: 'User' }),
    saslPassword: secret({ env: 'KAFKA_SASL_PASSWORD', doc: 'Password' }),
    tlsCa: text({
      env: 'KAFKA_TLS_CA',
      doc: 'File with the authorities that may vouch for the brokers, instead of those of Node',
    }),
    tlsCert: text({ env: 'KAFKA_TLS_CERT', doc: 'File with the certificate of the client' }),
    tlsKey: text({ env: 'KAFKA_TLS_KEY', doc: 'File with the key of that certificate' }),
    tlsRejectUnauthorized: boolean({
      env: 'KAFKA_TLS_REJECT_UNAUTHORIZED',
      default: true,
      doc: 'false accepts any certificate: for tests only, it is logged as a warning',
    }),
  },
  check: (values) => {
    const faults: { field: 'saslUsername' | 'saslPassword' | 'maxMessageBytes'; expected: string }[] = []
    if (values.securityProtocol.startsWith('SASL')) {
      const expected = `a value, as securityProtocol is ${values.securityProtocol}`
      if (values.saslUsername === undefined) faults.push({ field: 'saslUsername', expected })
      if (values.saslPassword === undefined) faults.push({ field: 'saslPassword', expected })
    }
    if (values.maxMessageBytes > values.batchBytes)
      faults.push({ field: 'maxMessageBytes', expected: `at most batchBytes, which is ${values.batchBytes}` })
    return faults
  },
})

export type KafkaConfig = SectionValues<typeof kafkaSection.fields>
