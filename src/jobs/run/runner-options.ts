/** What a runner of a queue is made with, and what it says of itself. */
import type { Engine } from '../../engine/engine.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { SourceFactory } from '../source.ts'

export interface QueueRunnerOptions {
  readonly engine: Engine
  readonly queueId: number
  readonly queueName: string
  readonly pollMs: number
  readonly log: Logger
  readonly sources: readonly SourceFactory[]
  /** Tasks of a name that has no handler here. */
  readonly onUnknown: (count: number) => void
  /** Tasks of one claim, at most. @default 2000 */
  readonly maxClaim?: number
  /** A loop that did not come round for so long, and twice the poll, is dead. @default 20000 */
  readonly stuckMs?: number
}

export interface RunnerFacts {
  readonly running: number
  readonly buffered: number
  /** Milliseconds since a claim last succeeded; undefined before the first. */
  readonly claimedMsAgo: number | undefined
  /** Claims that failed, since the last that did not. */
  readonly failures: number
  /** Loops that did not come round and were replaced. */
  readonly restarts: number
  /** Tasks that were left to others, having no handler here. */
  readonly unknown: number
  /** Ends that came too late: the tasks were no longer ours. */
  readonly late: number
  /** Ends that the database refused for what is in them, so that their jobs were failed. */
  readonly refused: number
  /** Milliseconds for which ends have failed to be stored; undefined where they are. */
  readonly unstoredMs: number | undefined
}
