/** The configuration of a replicator: environment names that deployments already have, their units and defaults. */
import { duration, field, integer, right, secret, size, text, wrong } from '../config/fields.ts'
import { redactUrl } from '../config/redact.ts'
import { defineSection, type Field, type SectionValues } from '../config/section.ts'

function address(
  options: { readonly env: string; readonly doc: string },
  schemes: readonly string[],
): Field<string | undefined> {
  const type = `a URL that begins with ${schemes.map((scheme) => `'${scheme}://'`).join(' or ')}`
  return field<string>(
    options,
    type,
    (raw) => {
      const isRight =
        typeof raw === 'string' &&
        URL.canParse(raw) &&
        schemes.some((scheme) => raw.startsWith(`${scheme}://`))
      return isRight ? right(raw) : wrong(type)
    },
    { secrecy: 'url', show: redactUrl },
  )
}

export const replicatorSection = defineSection({
  name: 'replicator',
  fields: {
    sourceUrl: address({ env: 'REPLICATOR_SOURCE_URL', doc: 'WebSocket of the source' }, ['ws', 'wss']),
    bulkUrl: address({ env: 'REPLICATOR_BULK_URL', doc: 'Pages of the whole data set, for loads' }, [
      'http',
      'https',
    ]),
    apiKey: secret({ env: 'REPLICATOR_API_KEY', doc: 'Sent to the source and with each page' }),
    apiKeyHeader: text({
      env: 'REPLICATOR_API_KEY_HEADER',
      default: 'x-api-key',
      doc: 'Header in which the API key is sent',
    }),
    workers: integer({
      env: 'NUM_WORKERS',
      default: 8,
      min: 1,
      max: 256,
      doc: 'Shards of each lane; a key always belongs to the same one',
    }),
    batchSize: integer({
      env: 'BATCH_SIZE',
      default: 10,
      min: 1,
      max: 10_000,
      doc: 'Changes that a shard gathers before it is sent, while others of its lane are written',
    }),
    batchTimeout: duration({
      env: 'BATCH_TIMEOUT',
      unit: 'ms',
      default: '25ms',
      max: '10s',
      doc: 'A change waits no longer than this for its batch to grow',
    }),
    maxBatchSize: integer({
      env: 'MAX_BATCH_SIZE',
      default: 500,
      min: 1,
      max: 10_000,
      doc: 'Changes in one batch at most',
    }),
    maxBatchBytes: size({
      env: 'MAX_BATCH_BYTES',
      default: '1mb',
      min: '1kb',
      doc: 'Size of one batch at most, but for a single larger change',
    }),
    maxInFlight: integer({
      env: 'MAX_IN_FLIGHT',
      default: 4,
      min: 1,
      max: 64,
      doc: 'Batches under way at once',
    }),
    companyChannelSize: integer({
      env: 'COMPANY_CHANNEL_SIZE',
      default: 1_000,
      min: 1,
      max: 10_000_000,
      doc: 'Companies that are held at most before the source is paused',
    }),
    userChannelSize: integer({
      env: 'USER_CHANNEL_SIZE',
      default: 1_000,
      min: 1,
      max: 10_000_000,
      doc: 'Users that are held at most before the source is paused',
    }),
    flagsChannelSize: integer({
      env: 'FLAGS_CHANNEL_SIZE',
      default: 100,
      min: 1,
      max: 10_000_000,
      doc: 'Flags that are held at most before the source is paused',
    }),
    channelBytes: size({
      env: 'CHANNEL_BYTES',
      default: '32mb',
      min: '64kb',
      doc: 'What a lane holds at most, estimated, before the source is paused',
    }),
    circuitBreakerThreshold: integer({
      env: 'CIRCUIT_BREAKER_THRESHOLD',
      default: 5,
      min: 0,
      max: 10_000,
      doc: 'Failed batches in a row after which the sink is left alone; 0 for never',
    }),
    circuitBreakerTimeout: duration({
      env: 'CIRCUIT_BREAKER_TIMEOUT',
      unit: 's',
      default: '30s',
      min: '10ms',
      doc: 'How long it is left alone before one batch is tried',
    }),
    writeTimeout: duration({
      env: 'REPLICATOR_WRITE_TIMEOUT',
      unit: 's',
      default: '5s',
      min: '10ms',
      doc: 'Limit of one batch',
    }),
    maxLag: duration({
      env: 'REPLICATOR_MAX_LAG',
      unit: 's',
      default: '30s',
      min: '10ms',
      doc: 'With an older change waiting than this, the replicator is not ready',
    }),
    pingInterval: duration({
      env: 'REPLICATOR_PING_INTERVAL',
      unit: 's',
      default: '10s',
      min: '20ms',
      doc: 'A ping to the source; two without a sign of life end the connection',
    }),
    maxMessageSize: size({
      env: 'REPLICATOR_MAX_MESSAGE_SIZE',
      default: '1mb',
      min: '1kb',
      max: '256mb',
      doc: 'Largest message; a larger one ends the connection',
    }),
    pageSize: integer({
      env: 'REPLICATOR_PAGE_SIZE',
      default: 1_000,
      min: 1,
      max: 100_000,
      doc: 'Rows of a page of a load',
    }),
    keyName: text({
      env: 'REPLICATOR_KEY_NAME',
      default: 'replica',
      doc: 'First part of every key in Redis',
    }),
    schemaVersion: text({
      env: 'REPLICATOR_SCHEMA_VERSION',
      default: '1',
      doc: 'Version of the entities, part of every key in Redis: another version begins with a load',
    }),
    lookupField: text({
      env: 'REPLICATOR_LOOKUP_FIELD',
      doc: 'Field of an entity that holds its other names, as an object of texts; without it there are no lookups',
    }),
    entityTtl: duration({
      env: 'REPLICATOR_TTL',
      unit: 's',
      default: 0,
      doc: 'An entity is forgotten after this long without a change; 0 for never',
    }),
    reportInterval: duration({
      env: 'REPLICATOR_REPORT_INTERVAL',
      unit: 's',
      default: '30s',
      min: '10ms',
      doc: 'Between two lines in the log with the counters',
    }),
  },
})

export type ReplicatorConfig = SectionValues<typeof replicatorSection.fields>
