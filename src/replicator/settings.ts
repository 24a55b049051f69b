/** What the runtime of a replicator is made with. */
import type { LanesSettings } from './lanes/settings.ts'
import type { LaneOptions } from './lane-options.ts'
import type { LoaderFactory, PartContext, SinkFactory, SourceFactory } from './contract.ts'

/** What the user may put in the place of a part. */
export interface Parts {
  readonly source?: SourceFactory | undefined
  readonly loader?: LoaderFactory | undefined
  readonly lanes?: readonly LaneOptions[] | undefined
  readonly sink?: SinkFactory | undefined
}

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

/** What shutting the sink down may take: less than what an app gives a component, 2 s. */
export const SINK_CLOSE_MS = 1_500
