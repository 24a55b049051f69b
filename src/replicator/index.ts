/** `sluice/replicator`: a stream into a store, in order, in batches, with nothing dropped. */
export { replicator, type ReplicatorOptions } from './replicator.ts'
export { webSocketSource, type WebSocketSourceOptions } from './websocket/source.ts'
export { httpLoader, type HttpLoaderOptions } from './http/loader.ts'
export {
  redisSink,
  replicaKeys,
  type RedisSinkOptions,
  type ReplicaKeys,
  type ReplicaNaming,
} from './sinks/redis/index.ts'
export { MemoryStore, memorySink, type MemorySinkOptions } from './sinks/memory/index.ts'
export { fieldLookups, type LaneOptions } from './lane-options.ts'
export { mergePartial } from './merge.ts'
export { compareStreamIds, parseStreamId, streamIdText } from './stream-id.ts'
export type { LaneStats, Replicator, ReplicatorStats } from './api.ts'
export type { LaneCounters, Trigger } from './counters.ts'
export type { LoadProgress } from './load.ts'
export type {
  Applied,
  Batch,
  Change,
  DeadLetter,
  DeadReason,
  EntityData,
  LaneSpec,
  Loader,
  LoaderFactory,
  OpenOptions,
  Page,
  PartContext,
  Receiver,
  Row,
  Sink,
  SinkFactory,
  SinkState,
  Source,
  SourceFactory,
  SourceOptions,
  StreamId,
} from './contract.ts'
