/** What the parts are made with. */
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metric.ts'
import type { EntityData } from './changes.ts'
import type { Loader } from './loader.ts'
import type { Sink } from './sink.ts'
import type { Source } from './source.ts'

/** One type of entity. */
export interface LaneSpec {
  /** `entity_type` of its messages, and part of its keys in the store: 'company'. */
  readonly name: string
  /** `entity_type` of its bulk messages: 'companies'. */
  readonly plural: string
  /**
   * Other names under which an entity is found, as `name:value` ('domain:acme.example'); unique among the entities of
   * the lane, the newest owner wins. Called with data that may have any shape; what it throws buries the change as `refused`.
   */
  readonly lookups: ((data: EntityData) => readonly string[]) | undefined
  /** An entity is forgotten after this long without a change; 0 for never. */
  readonly ttlMs: number
}

export interface PartContext {
  /** Name of the component, for errors and metrics. */
  readonly name: string
  readonly appName: string
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  readonly lanes: readonly LaneSpec[]
}

/** Makes a part without I/O; `redisSink(options)`, `memorySink()`, `webSocketSource(options)` return one of these. */
export type SinkFactory = (context: PartContext) => Sink
export type SourceFactory = (context: PartContext) => Source
export type LoaderFactory = (context: PartContext) => Loader
