/**
 * Stores jobs. Single ones outside of a transaction are gathered: what many callers hand in while a statement is under
 * way goes with the next one.
 */
import type { AsyncResult } from '../core/async-result.ts'
import { SluiceError } from '../core/errors.ts'
import type { Transaction } from '../engine/database.ts'
import type { Engine } from '../engine/engine.ts'
import { moment } from '../engine/moments.ts'
import { enqueueTasks } from '../engine/tasks/enqueue.ts'
import type { NewTask } from '../engine/tasks/task.ts'
import { Batcher } from '../pool/batcher.ts'
import type { EnqueuedJob } from './api.ts'
import type { Draft } from './prepare.ts'

const MAX_GATHERED = 2_000
const MAX_BATCH_BYTES = 8 * 1_048_576
/** Callers that may wait for their turn; more are refused. */
const MAX_WAITING = 100_000

export class Enqueuer implements AsyncDisposable {
  readonly #engine: Engine
  readonly #batcher: Batcher<NewTask, EnqueuedJob>

  constructor(engine: Engine) {
    this.#engine = engine
    this.#batcher = new Batcher<NewTask, EnqueuedJob>({
      name: 'jobs.enqueue',
      write: (tasks) => this.#store(tasks),
      sizeOf: (task) => task.body.length,
      maxItems: MAX_GATHERED,
      maxBytes: MAX_BATCH_BYTES,
      maxWaiting: MAX_WAITING,
      clock: engine.clock,
    })
  }

  /** Stores one, with others of the same moment. */
  async one(queue: string, draft: Draft): Promise<EnqueuedJob> {
    return this.add(draft, await this.#engine.queues.id(queue))
  }

  add(draft: Draft, queue: number): AsyncResult<EnqueuedJob> {
    return this.#batcher.add({ ...draft, queue })
  }

  /** Stores all in one statement, in the transaction where there is one. */
  async many(
    queue: string,
    drafts: readonly Draft[],
    tx: Transaction | undefined,
  ): Promise<readonly EnqueuedJob[]> {
    const id = await this.#engine.queues.id(queue)
    const tasks = drafts.map((draft): NewTask => ({ ...draft, queue: id }))
    if (tx === undefined) return this.#store(tasks)
    const stored = await this.#insert(tasks, tx)
    tx.afterCommit(() => this.#hint(tasks))
    return stored
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#batcher[Symbol.asyncDispose]()
  }

  async #store(tasks: readonly NewTask[]): Promise<readonly EnqueuedJob[]> {
    const stored = await this.#insert(tasks, undefined)
    this.#hint(tasks)
    return stored
  }

  async #insert(tasks: readonly NewTask[], tx: Transaction | undefined): Promise<readonly EnqueuedJob[]> {
    moment('jobs.enqueue', tasks.length)
    const stored = await enqueueTasks(tx ?? this.#engine.db, tasks)
    moment('jobs.enqueued', tasks.length)
    return stored.map((row) => {
      if (row === undefined) throw new SluiceError('SLUICE_INTERNAL', 'a job was not stored')
      return { id: row.id, created: true }
    })
  }

  #hint(tasks: readonly NewTask[]): void {
    let last: number | undefined
    for (const { queue } of tasks) {
      if (queue === last) continue
      last = queue
      this.#engine.wake.signal(`q${queue}`)
    }
  }
}
