/** The replicator as a component of an app. */
import type { ComponentDefinition } from '../app/component.ts'
import type { Duration } from '../core/duration.ts'
import type { Replicator } from './api.ts'
import { createReplicator } from './component.ts'
import type { LoaderFactory, SinkFactory, SourceFactory } from './contract.ts'
import type { LaneOptions } from './lane-options.ts'
import { replicatorSection } from './section.ts'

/** Options in code; each wins over environment and file. Durations are milliseconds or text such as `'5s'`. */
export interface ReplicatorOptions {
  /** Where messages come from. @default the WebSocket at `sourceUrl` */
  readonly source?: SourceFactory
  /** Reads the whole data set. @default the pages at `bulkUrl`, where that is set */
  readonly loader?: LoaderFactory
  /** Types of entities. @default company, user and flag */
  readonly lanes?: readonly LaneOptions[]
  /** Where entities are stored. @default the redis component of the app where it is on a server, else in memory */
  readonly sink?: SinkFactory
  /** Name of the redis component, where there are several. */
  readonly redis?: string
  /** `REPLICATOR_SOURCE_URL`: `ws://` or `wss://`. */
  readonly sourceUrl?: string
  /** `REPLICATOR_BULK_URL`: `http://` or `https://`. */
  readonly bulkUrl?: string
  /** `REPLICATOR_API_KEY` */
  readonly apiKey?: string
  /** @default 'x-api-key' */
  readonly apiKeyHeader?: string
  /** `NUM_WORKERS`: shards of each lane. @default 8 */
  readonly workers?: number
  /** `BATCH_SIZE` @default 10 */
  readonly batchSize?: number
  /** `BATCH_TIMEOUT` @default '25ms' */
  readonly batchTimeout?: Duration
  /** `MAX_BATCH_SIZE` @default 500 */
  readonly maxBatchSize?: number
  /** `MAX_BATCH_BYTES` @default '1mb' */
  readonly maxBatchBytes?: number | string
  /** `MAX_IN_FLIGHT` @default 4 */
  readonly maxInFlight?: number
  /** `COMPANY_CHANNEL_SIZE` @default 1000 */
  readonly companyChannelSize?: number
  /** `USER_CHANNEL_SIZE` @default 1000 */
  readonly userChannelSize?: number
  /** `FLAGS_CHANNEL_SIZE` @default 100 */
  readonly flagsChannelSize?: number
  /** `CHANNEL_BYTES` @default '32mb' */
  readonly channelBytes?: number | string
  /** `CIRCUIT_BREAKER_THRESHOLD` @default 5 */
  readonly circuitBreakerThreshold?: number
  /** `CIRCUIT_BREAKER_TIMEOUT` @default '30s' */
  readonly circuitBreakerTimeout?: Duration
  /** @default '5s' */
  readonly writeTimeout?: Duration
  /** @default '30s' */
  readonly maxLag?: Duration
  /** @default '10s' */
  readonly pingInterval?: Duration
  /** @default '1mb' */
  readonly maxMessageSize?: number | string
  /** @default 1000 */
  readonly pageSize?: number
  /** First part of every key in Redis. @default 'replica' */
  readonly keyName?: string
  /** Part of every key in Redis. @default '1' */
  readonly schemaVersion?: string
  /** Field of an entity that holds its other names. @default none */
  readonly lookupField?: string
  /** @default 0, never */
  readonly entityTtl?: Duration
  /** @default '30s' */
  readonly reportInterval?: Duration
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

/** Limit of one connect: of a first load, which a cold start waits for. `infrastructure.timeouts.replicator` sets another. */
const CONNECT_TIMEOUT_MS = 3_600_000

/**
 * A replicator for `createApp`: keeps a store in step with a stream, in order, in batches, with nothing dropped. Of several
 * processes one writes and the others stand by. Guarantees are in the guide.
 */
export function replicator(
  options: ReplicatorOptions = {},
): ComponentDefinition<Replicator, typeof replicatorSection.fields> {
  const { source, loader, lanes, sink, redis, dependsOn = [], ...overrides } = options
  return {
    kind: 'replicator',
    section: replicatorSection,
    overrides,
    dependsOn,
    requires: [{ kind: 'redis', name: redis, optional: true }],
    // Without a source there is nothing that it could do.
    needsConfiguration: source === undefined,
    workers: 5,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    create: (context) => createReplicator(context, { source, loader, lanes, sink }),
  }
}
