/**
 * Ends of attempts on their way to the database, of one source under one lease: done, failed, given back; each kind
 * gathered into statements of its own. When the lease ends all of it is dropped: it counts no longer.
 *
 * An end that the database refuses for what is in it becomes a failure with a text that it takes: the job must not stay
 * behind as one that runs.
 */
import type { Engine } from '../../engine/engine.ts'
import { moment } from '../../engine/moments.ts'
import { isRefusal, refusalText } from '../../engine/refusal.ts'
import type { Ended, Failed } from '../../engine/tasks/finish.ts'
import type { Lease } from '../../engine/worker/worker.ts'
import { Gather } from '../gather.ts'
import type { DoneTask, GivenBack, TaskSource } from '../source.ts'

const MAX_ITEMS = 5_000
/** Each failure brings its error's text. */
const MAX_FAILED = 500

export interface EndsHost {
  readonly engine: Engine
  readonly onFailure: (error: Error) => void
  /** The database refused the end of this job for what is in it, and has taken another one. */
  readonly onRefused: (id: string, error: Error) => void
  /** What became of failed ones is stored: they are due again after a delay, or dead. */
  readonly onFailed: (dead: readonly Failed[], delayMs: number) => void
  /** Ends that came too late: the tasks were no longer ours. */
  readonly onLost: (count: number) => void
  /** Tasks are back that others may begin at once. */
  readonly onReleased: () => void
}

export class Ends {
  readonly source: TaskSource
  readonly lease: Lease
  readonly done: Gather<DoneTask>
  readonly failed: Gather<Failed>
  readonly released: Gather<GivenBack>

  constructor(source: TaskSource, lease: Lease, host: EndsHost) {
    this.source = source
    this.lease = lease
    const { engine, onFailure, onRefused, onFailed, onLost, onReleased } = host
    const { db, clock, random } = engine
    const common = { clock, random, onFailure, maxItems: MAX_ITEMS }
    const fail = async (tasks: readonly Failed[]): Promise<void> => {
      const answers = await source.fail(db, tasks, lease)
      moment('jobs.failed', answers.length)
      if (answers.length < tasks.length) onLost(tasks.length - answers.length)
      const deadIds = new Set(answers.filter((answer) => answer.dead).map(({ id }) => id))
      const dead = tasks.filter(({ id }) => deadIds.has(id))
      const delays = tasks.filter(({ delay }) => delay >= 0).map(({ delay }) => delay)
      onFailed(dead, Math.min(...delays))
    }
    const failInstead = async ({ id, attempt, lot }: Ended, delay: number, error: Error): Promise<void> => {
      const task = { id, attempt, lot, error: refusalText('the end of the attempt', error) }
      try {
        await fail([{ ...task, delay }])
      } catch (again) {
        if (delay < 0 || !isRefusal(again)) throw again
        await fail([{ ...task, delay: -1 }])
      }
      onRefused(id, error)
    }
    this.done = new Gather<DoneTask>({
      ...common,
      async write(tasks) {
        const ours = await source.done(db, tasks, lease)
        moment('jobs.acked', ours.size)
        if (ours.size < tasks.length) onLost(tasks.length - ours.size)
      },
      // What the handler did is done: another attempt would do it again, for the same end.
      refused: (task, error) => failInstead(task, -1, error),
    })
    this.failed = new Gather<Failed>({
      ...common,
      maxItems: MAX_FAILED,
      write: fail,
      refused: (task, error) => failInstead(task, task.delay, error),
    })
    this.released = new Gather<GivenBack>({
      ...common,
      async write(tasks) {
        const ours = await source.release(db, tasks, lease)
        moment('jobs.released', ours.size)
        if (tasks.some(({ id, delay }) => delay === 0 && ours.has(id))) onReleased()
      },
      refused: (task, error) => failInstead(task, 0, error),
    })
  }

  /** Of tasks whose end is not stored yet. */
  *ids(): Iterable<string> {
    for (const gather of [this.done, this.failed, this.released]) for (const { id } of gather.items) yield id
  }

  /** Monotonic time since when none of one kind could be stored; undefined where all go well. */
  get failingSince(): number | undefined {
    const since = [this.done, this.failed, this.released].flatMap((gather) => gather.failingSince ?? [])
    return since.length === 0 ? undefined : Math.min(...since)
  }

  async idle(): Promise<void> {
    await Promise.all([this.done.idle(), this.failed.idle(), this.released.idle()])
  }

  drop(): void {
    this.done.drop()
    this.failed.drop()
    this.released.drop()
  }
}
