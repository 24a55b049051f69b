/** A source that claims no more tasks than the limits of its queue allow, over all processes. */
import type { Queryable } from '../engine/database.ts'
import type { Failed, FailedAnswer } from '../engine/tasks/finish.ts'
import type { HeldTask } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'
import { KeyedSource } from './keyed-source.ts'
import { limitRules, QueueLimits, type LimitedJob } from './limits.ts'
import { poolSource } from './pool-source.ts'
import type { DoneTask, GivenBack, SourceFactory, TaskSource } from './source.ts'

/** The sources of a queue, under the limits of its jobs, which may become more. */
export function limitedSources(jobs: Iterable<LimitedJob>): readonly SourceFactory[] {
  const rules = (): ReturnType<typeof limitRules> => limitRules(jobs)
  let limits: QueueLimits | undefined
  const limited =
    (create: SourceFactory): SourceFactory =>
    (host) => {
      limits ??= new QueueLimits(host.engine, host.queueId, rules, host.wake)
      return new LimitedSource(create(host), limits)
    }
  return [limited(poolSource), limited((host) => new KeyedSource(host, { ends: poolSource(host), rules }))]
}

export class LimitedSource implements TaskSource {
  readonly #inner: TaskSource
  readonly #limits: QueueLimits

  constructor(inner: TaskSource, limits: QueueLimits) {
    this.#inner = inner
    this.#limits = limits
  }

  async claim(lease: Lease, limit: number): Promise<readonly HeldTask[]> {
    if (this.#limits.isFree) return this.#inner.claim(lease, limit)
    const permits = await this.#limits.take(lease, limit)
    if (permits.count === 0) return []
    let tasks: readonly HeldTask[] = []
    try {
      tasks = await this.#inner.claim(lease, permits.count)
      return tasks
    } finally {
      this.#limits.claimed(
        lease,
        permits,
        tasks.map(({ id }) => id),
      )
    }
  }

  async done(db: Queryable, tasks: readonly DoneTask[], lease: Lease): Promise<ReadonlySet<string>> {
    const ours = await this.#inner.done(db, tasks, lease)
    this.#end(tasks)
    return ours
  }

  async fail(db: Queryable, tasks: readonly Failed[], lease: Lease): Promise<readonly FailedAnswer[]> {
    const answers = await this.#inner.fail(db, tasks, lease)
    this.#end(tasks)
    return answers
  }

  async release(db: Queryable, tasks: readonly GivenBack[], lease: Lease): Promise<ReadonlySet<string>> {
    const ours = await this.#inner.release(db, tasks, lease)
    this.#end(tasks)
    return ours
  }

  /** While a limit holds, what is due makes no difference. */
  nextDue(): Promise<number | undefined> {
    const blockedFor = this.#limits.blockedFor
    return blockedFor === undefined ? this.#inner.nextDue() : Promise.resolve(blockedFor)
  }

  async tick(lease: Lease): Promise<void> {
    await this.#inner.tick?.(lease)
  }

  reset(): void {
    this.#limits.reset()
    this.#inner.reset()
  }

  async close(): Promise<void> {
    await this.#inner.close()
    await this.#limits.close()
  }

  #end(tasks: readonly { readonly id: string }[]): void {
    this.#limits.ended(tasks.map(({ id }) => id))
  }
}
