/**
 * Stores jobs. Single ones outside of a transaction are gathered: what many callers hand in while a statement is under
 * way goes with the next one.
 *
 * Hints to workers leave after the commit, never before, and never from inside a transaction.
 */
import type { AsyncResult } from '../core/async-result.ts'
import { SluiceError, toError } from '../core/errors.ts'
import type { Queryable, Transaction } from '../engine/database.ts'
import type { Engine } from '../engine/engine.ts'
import { moment } from '../engine/moments.ts'
import { isRefusal } from '../engine/refusal.ts'
import { enqueueTasks } from '../engine/tasks/enqueue.ts'
import type { NewTask } from '../engine/tasks/task.ts'
import { enqueueUnique, type UniqueTask } from '../engine/tasks/unique.ts'
import { Batcher } from '../pool/batcher.ts'
import type { EnqueuedJob } from './api.ts'
import { enqueueFailure } from './enqueue-failure.ts'
import type { Draft } from './prepare.ts'

/** Of one statement. */
const MAX_ITEMS = 5_000
const MAX_BYTES = 8 * 1_048_576
/** Of one `enqueueMany`, which is one transaction. */
const MAX_TOTAL_BYTES = 256 * 1_048_576
/** How long a unique name is waited for that an open transaction holds; in a transaction of the user's that decides. */
const UNIQUE_WAIT_MS = 5_000
/** Callers that may wait for their turn; more are refused. */
const MAX_WAITING = 100_000

export class Enqueuer implements AsyncDisposable {
  readonly #engine: Engine
  readonly #batcher: Batcher<NewTask, EnqueuedJob>

  /** `component`: for errors. */
  constructor(engine: Engine, component: string) {
    this.#engine = engine
    this.#batcher = new Batcher<NewTask, EnqueuedJob>({
      name: `${component}: enqueue`,
      write: (tasks) => this.#storeEach(tasks),
      sizeOf: (task) => task.body.length,
      maxItems: MAX_ITEMS,
      maxBytes: MAX_BYTES,
      maxWaiting: MAX_WAITING,
      maxWaitingBytes: MAX_TOTAL_BYTES,
      clock: engine.clock,
    })
  }

  /** Stores one: in the transaction, or with others of the same moment. */
  one(queue: string, draft: Draft, tx: Transaction | undefined): Promise<EnqueuedJob> {
    if (tx !== undefined || draft.uniq !== undefined) {
      return this.many(queue, [draft], tx).then(([stored]) => stored!)
    }
    const id = this.#engine.queues.known(queue)
    if (id !== undefined) return this.#add(draft, id)
    return this.#engine.queues.id(queue).then((late) => this.#add(draft, late))
  }

  /** Stores all or none, in the transaction where there is one. */
  async many(
    queue: string,
    drafts: readonly Draft[],
    tx: Transaction | undefined,
  ): Promise<readonly EnqueuedJob[]> {
    if (drafts.length === 0) return []
    const id = await this.#engine.queues.id(queue)
    const tasks = drafts.map((draft): NewTask => ({ ...draft, queue: id }))
    const chunks = inChunks(tasks)
    if (tasks.some(isUnique)) return this.#manyUnique(tasks, tx)
    if (tx !== undefined) {
      const stored = await this.#insertAll(tx, chunks)
      tx.afterCommit(() => this.#hint(chunks[0]!))
      return stored
    }
    if (chunks.length === 1) return this.#store(chunks[0]!)
    const stored = await explained(false, () =>
      this.#engine.db.transaction((own) => this.#insertAll(own, chunks), { label: 'sluice.enqueueMany' }),
    )
    this.#hint(chunks[0]!)
    return stored
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#batcher[Symbol.asyncDispose]()
  }

  /** Unique ones first, all in one order, so that two calls that overlap wait for each other in one way only. */
  async #manyUnique(tasks: readonly NewTask[], tx: Transaction | undefined): Promise<readonly EnqueuedJob[]> {
    const plain = tasks.filter((task) => !isUnique(task))
    const store = async (on: Queryable, waitMs?: number): Promise<readonly EnqueuedJob[]> => {
      moment('jobs.enqueue', tasks.length)
      const unique = (await enqueueUnique(on, tasks.filter(isUnique), waitMs)).values()
      const others: EnqueuedJob[] = []
      if (plain.length > 0) {
        for (const chunk of inChunks(plain)) others.push(...(await this.#insert(on, chunk)))
      }
      moment('jobs.enqueued', tasks.length)
      const rest = others.values()
      return tasks.map((task) => (isUnique(task) ? unique : rest).next().value!)
    }
    if (tx !== undefined) {
      const stored = await store(tx)
      tx.afterCommit(() => this.#hint(tasks))
      return stored
    }
    const { db } = this.#engine
    const stored = await explained(plain.length === 0, () =>
      tasks.length === 1
        ? store(db, UNIQUE_WAIT_MS)
        : // A wait for a name that took too long is not begun anew.
          db.transaction((own) => store(own, UNIQUE_WAIT_MS), { label: 'sluice.enqueueMany', retries: 0 }),
    )
    this.#hint(tasks)
    return stored
  }

  #add(draft: Draft, queue: number): AsyncResult<EnqueuedJob> {
    return this.#batcher.add({ ...draft, queue })
  }

  /** Of many callers: what the database refuses of one is halved off from the others, and fails alone. */
  async #storeEach(tasks: readonly NewTask[]): Promise<readonly (EnqueuedJob | Error)[]> {
    try {
      return await this.#store(tasks)
    } catch (error) {
      if (!isRefusal(error)) throw error
      if (tasks.length === 1) return [toError(error)]
      const middle = Math.ceil(tasks.length / 2)
      const before = await this.#storePart(tasks.slice(0, middle))
      return [...before, ...(await this.#storePart(tasks.slice(middle)))]
    }
  }

  /** What fails later says nothing of what is stored already. */
  async #storePart(tasks: readonly NewTask[]): Promise<readonly (EnqueuedJob | Error)[]> {
    try {
      return await this.#storeEach(tasks)
    } catch (error) {
      return tasks.map(() => toError(error))
    }
  }

  async #store(tasks: readonly NewTask[]): Promise<readonly EnqueuedJob[]> {
    const stored = await explained(false, () => this.#insert(this.#engine.db, tasks))
    this.#hint(tasks)
    return stored
  }

  async #insertAll(
    tx: Transaction,
    chunks: readonly (readonly NewTask[])[],
  ): Promise<readonly EnqueuedJob[]> {
    const stored: EnqueuedJob[] = []
    for (const chunk of chunks) for (const row of await this.#insert(tx, chunk)) stored.push(row)
    return stored
  }

  async #insert(db: Queryable, tasks: readonly NewTask[]): Promise<readonly EnqueuedJob[]> {
    moment('jobs.enqueue', tasks.length)
    const stored = await enqueueTasks(db, tasks)
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

async function explained<T>(isUnique: boolean, store: () => PromiseLike<T>): Promise<T> {
  try {
    return await store()
  } catch (error) {
    throw enqueueFailure(error, isUnique)
  }
}

function isUnique(task: NewTask): task is UniqueTask {
  return task.uniq !== undefined
}

/** In pieces that a statement takes. Throws SLUICE_TOO_LARGE. */
function inChunks(tasks: readonly NewTask[]): readonly (readonly NewTask[])[] {
  const chunks: NewTask[][] = []
  let bytes = 0
  let total = 0
  let chunk: NewTask[] = []
  for (const task of tasks) {
    const { length } = task.body
    total += length
    if (chunk.length === MAX_ITEMS || (chunk.length > 0 && bytes + length > MAX_BYTES)) {
      chunks.push(chunk)
      chunk = []
      bytes = 0
    }
    chunk.push(task)
    bytes += length
  }
  if (total > MAX_TOTAL_BYTES) {
    throw new SluiceError(
      'SLUICE_TOO_LARGE',
      `enqueueMany: ${total} characters of data, and ${MAX_TOTAL_BYTES} are allowed in one call`,
      { hint: 'Enqueue them in several calls.' },
    )
  }
  chunks.push(chunk)
  return chunks
}
