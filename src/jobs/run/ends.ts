/**
 * Ends of attempts on their way to the database, of one source under one lease: done, failed, given back; each kind
 * gathered into statements of its own. When the lease ends all of it is dropped: it counts no longer.
 */
import type { Engine } from '../../engine/engine.ts'
import { moment } from '../../engine/moments.ts'
import type { Failed } from '../../engine/tasks/finish.ts'
import type { Lease } from '../../engine/worker/worker.ts'
import { Gather } from '../gather.ts'
import type { DoneTask, GivenBack, TaskSource } from '../source.ts'

const MAX_ITEMS = 5_000
/** Each failure brings its error's text. */
const MAX_FAILED = 500

export interface EndsHost {
  readonly engine: Engine
  readonly onFailure: (error: Error) => void
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
    const { engine, onFailure, onFailed, onLost, onReleased } = host
    const { db, clock, random } = engine
    const common = { clock, random, onFailure, maxItems: MAX_ITEMS }
    this.done = new Gather<DoneTask>({
      ...common,
      async write(tasks) {
        const ours = await source.done(db, tasks, lease)
        moment('jobs.acked', ours.size)
        if (ours.size < tasks.length) onLost(tasks.length - ours.size)
      },
    })
    this.failed = new Gather<Failed>({
      ...common,
      maxItems: MAX_FAILED,
      async write(tasks) {
        const answers = await source.fail(db, tasks, lease)
        moment('jobs.failed', answers.length)
        if (answers.length < tasks.length) onLost(tasks.length - answers.length)
        const deadIds = new Set(answers.filter((answer) => answer.dead).map(({ id }) => id))
        const dead = tasks.filter(({ id }) => deadIds.has(id))
        const delays = tasks.filter(({ delay }) => delay >= 0).map(({ delay }) => delay)
        onFailed(dead, Math.min(...delays))
      },
    })
    this.released = new Gather<GivenBack>({
      ...common,
      async write(tasks) {
        const ours = await source.release(db, tasks, lease)
        moment('jobs.released', ours.size)
        if (tasks.some(({ id, delay }) => delay === 0 && ours.has(id))) onReleased()
      },
    })
  }

  /** Of tasks whose end is not stored yet. */
  *ids(): Iterable<string> {
    for (const gather of [this.done, this.failed, this.released]) for (const { id } of gather.items) yield id
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
