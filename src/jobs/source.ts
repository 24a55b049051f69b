/**
 * Where a runner gets tasks from, and where their ends go: the seam between running jobs and how they are claimed.
 *
 * A runner of a queue has several sources: the pool (tasks without a key, by priority and due time) and, where there are
 * keys, the lanes of keys. It asks each for as many tasks as it has room for, runs them, and hands their ends back to
 * the source that they came from, gathered. What a source promises:
 *
 * - A task that `claim` answered is this lease's until one of `done`, `fail` or `release` named it, or the lease ended.
 * - Ends are guarded by owner and attempt, so that all of them may be sent again, and a late one changes nothing.
 * - It never waits by itself: `claim` answers with what there is, and `host.wake()` says that there may be more.
 */
import type { Queryable } from '../engine/database.ts'
import type { Engine } from '../engine/engine.ts'
import type { Ended, Failed, FailedAnswer } from '../engine/tasks/finish.ts'
import type { HeldTask } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'

export interface DoneTask extends Ended {
  /** JSON of what the handler returned, where it is kept. */
  readonly result?: string | undefined
  /** Milliseconds that it is kept; 0 for not at all. */
  readonly keepMs: number
}

export interface GivenBack extends Ended {
  /** Milliseconds until it may be claimed again. */
  readonly delay: number
}

export interface SourceHost {
  readonly engine: Engine
  readonly queueId: number
  readonly queueName: string
  /** There may be something to claim, without a hint from elsewhere: a lane is free, a limit has room again. */
  readonly wake: () => void
  /** Names of the jobs that have a handler here. */
  readonly names: () => readonly string[]
  readonly handles: (name: string) => boolean
  /** Tasks of this name have no handler here, and were left to other processes. */
  readonly left: (name: string, count: number) => void
  /** Ids of all tasks that the runner has: waiting, running, or with an end that is not stored yet. */
  readonly held?: (() => Iterable<string>) | undefined
}

export interface TaskSource {
  /** Up to `limit` tasks that may start now; fewer say that there are no more for now. Rejects as the database does. */
  claim(lease: Lease, limit: number): Promise<readonly HeldTask[]>
  /** The ids that were still ours. In the handler's transaction where `db` is one. */
  done(db: Queryable, tasks: readonly DoneTask[], lease: Lease): Promise<ReadonlySet<string>>
  fail(db: Queryable, tasks: readonly Failed[], lease: Lease): Promise<readonly FailedAnswer[]>
  /** Not run to an end through no fault of theirs: the attempt is not counted. */
  release(db: Queryable, tasks: readonly GivenBack[], lease: Lease): Promise<ReadonlySet<string>>
  /** Milliseconds until the next one is due; undefined where none is known of. */
  nextDue(): Promise<number | undefined>
  /** Once a second: what can be seen of what it holds is to be true. Rejects as the database does. */
  tick?(lease: Lease): Promise<void>
  /** The lease ended: forgets what was claimed under it. */
  reset(): void
  /** Claims no more, and lets go of what it holds beyond single tasks (leases of shards). */
  close(): Promise<void>
}

export type SourceFactory = (host: SourceHost) => TaskSource
