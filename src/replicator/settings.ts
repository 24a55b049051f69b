/** What the runtime of a replicator is made with. */
import type { Clock } from '../core/clock.ts'
import type { LanesSettings } from './lanes/settings.ts'
import type { LoaderFactory, LaneSpec, PartContext, SinkFactory, SourceFactory } from './contract.ts'

export interface RuntimeOptions {
  readonly context: PartContext
  readonly lanes: LanesSettings
  readonly source: SourceFactory
  readonly loader: LoaderFactory | undefined
  readonly sink: SinkFactory
  /** Failures in a row after which the sink is left alone. */
  readonly breakerThreshold: number
  /** Until it is asked again, in milliseconds. */
  readonly breakerTimeoutMs: number
  /** With an older change waiting than this, it is not ready. */
  readonly maxLagMs: number
  /** Between two lines in the log with the counters. */
  readonly reportMs: number
}

/** What shutting the sink down may take. */
export const SINK_CLOSE_MS = 2_000

export type { Clock, LaneSpec }
