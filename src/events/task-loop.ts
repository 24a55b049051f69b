/**
 * Works on the tasks of one queue that have no key: deliveries that are tried again, events that wait for their time.
 *
 * Tasks are claimed a few at a time, `concurrency` runs at once. What a run says about its tasks is written until the
 * database has taken it, or the lease is lost, so that no task stays owned and forgotten. A claim that failed may have
 * taken tasks all the same: what this worker owns and does not know of is given back.
 *
 * A task whose attempt before ended without an answer may have ended its process. It is claimed and run alone, so that
 * it takes no others along, whose attempts would be used up with its own.
 */
import { backoffMs } from '../core/backoff.ts'
import { deriveController, onAbort } from '../core/abort.ts'
import type { Timer } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { writeApart } from '../engine/log/apart.ts'
import { refusalText } from '../engine/refusal.ts'
import { levelOf } from '../engine/repeated.ts'
import { claimTasks } from '../engine/tasks/claim.ts'
import { ClaimPosition } from '../engine/tasks/claim-position.ts'
import { ackTasks, failTasks, releaseTasks, type Failed } from '../engine/tasks/finish.ts'
import type { QueueHolders } from '../engine/tasks/holders.ts'
import type { HeldTask } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'
import type { Logger } from '../telemetry/log.ts'

/**
 * What became of a task. `ended`: the run has seen to it, in a transaction of its own. `left`: another program knows what
 * to do with it.
 */
export type TaskEnd =
  | { readonly end: 'done' | 'ended' | 'released' | 'left' }
  | { readonly end: 'failed'; readonly delayMs: number; readonly error: string }

export interface TaskLoopOptions {
  readonly engine: Engine
  readonly log: Logger
  readonly queue: number
  readonly concurrency: number
  /** Tasks of one run. */
  readonly size: number
  /** Tasks that may have ended their process. */
  readonly isSuspect: (task: HeldTask) => boolean
  /** Never rejects: it says of each task what became of it. */
  readonly run: (tasks: readonly HeldTask[], lease: Lease, signal: AbortSignal) => Promise<readonly TaskEnd[]>
}

const BACKOFF = { baseMs: 100, capMs: 3_000 }
/** What is left to others is not looked at before. */
const LEFT_MS = 2_000
/** A claim whose answer did not come is over by then, whatever became of it. */
const UNSURE_MS = 20_000
const DROP_EVERY_MS = 1_000

export class TaskLoop {
  readonly #options: TaskLoopOptions
  readonly #stopping = new AbortController()
  readonly #aborting = new AbortController()
  readonly #runs = new Set<Promise<void>>()
  /** Tasks whose ends are not written. */
  readonly #held = new Set<string>()
  readonly #offHint: () => void
  readonly #holders: QueueHolders
  readonly #leave: () => void
  /** Behind tasks that were claimed, where an open transaction keeps the server from clearing those away. */
  readonly #position: ClaimPosition
  #claiming: Promise<void> | undefined
  #again = false
  /** Nothing is known yet of what there is: the first is taken alone. */
  #careful = true
  /** Claims that failed, in a row. */
  #failures = 0
  #unsureUntil = -Infinity
  #droppedAt = -Infinity
  #retry: Timer | undefined
  paused = false

  constructor(options: TaskLoopOptions) {
    this.#options = options
    this.#position = new ClaimPosition(options.engine.clock)
    this.#holders = options.engine.holders.of(options.queue)
    this.#leave = this.#holders.join({ lots: () => [], ids: () => this.#held })
    this.#offHint = options.engine.wake.on(`q${options.queue}`, () => this.look())
  }

  get queue(): number {
    return this.#options.queue
  }
  get running(): number {
    return this.#runs.size
  }

  /** There may be something to do. */
  look(): void {
    if (this.#stopping.signal.aborted || (this.paused && !this.#isUnsure)) return
    if (this.#claiming !== undefined) {
      this.#again = true
      return
    }
    this.#claiming = this.#claim().finally(() => {
      this.#claiming = undefined
      if (!this.#again) return
      this.#again = false
      this.look()
    })
  }

  /** Claims nothing more and waits for what runs; when `signal` aborts, that is given back. */
  async stop(signal?: AbortSignal): Promise<void> {
    this.#offHint()
    this.#stopping.abort()
    this.#retry?.cancel()
    const release = onAbort(signal, (reason) => this.#aborting.abort(reason))
    try {
      await this.#claiming
      await Promise.all(this.#runs)
    } finally {
      release()
      this.#leave()
    }
  }

  async #claim(): Promise<void> {
    const { engine, concurrency, size, isSuspect } = this.#options
    for (;;) {
      const lease = engine.worker.lease
      if (lease === undefined || this.#stopping.signal.aborted) return
      let tasks: readonly HeldTask[]
      const limit = this.#careful ? 1 : concurrency
      const free = limit - this.#runs.size
      const most = this.#careful ? 1 : free * size
      try {
        if (this.#isUnsure) await this.#dropUnknown(lease)
        if (free <= 0 || this.#stopping.signal.aborted || this.paused) return
        tasks = await this.#holders.claim(() => this.#take(lease, most))
      } catch (error) {
        this.#claimFailed(error)
        return
      }
      this.#failures = 0
      if (tasks.length > 0) this.#careful = tasks.some(isSuspect)
      for (let from = 0; from < tasks.length; from += size) this.#begin(tasks.slice(from, from + size), lease)
      if (tasks.length < most) return
    }
  }

  async #take(lease: Lease, most: number): Promise<readonly HeldTask[]> {
    const { engine, queue } = this.#options
    const failed = (): void => this.#claimFailed()
    const tasks = await claimTasks(engine.db, queue, lease.id, most, this.#position, failed)
    for (const { id } of tasks) this.#held.add(id)
    return tasks
  }

  get #isUnsure(): boolean {
    return this.#options.engine.clock.monotonic() <= this.#unsureUntil
  }

  /** It may have taken tasks all the same, and its statement may be under way still: nobody else would look after them. */
  #claimFailed(error?: unknown): void {
    const { engine, log } = this.#options
    this.#unsureUntil = engine.clock.monotonic() + UNSURE_MS
    const failures = ++this.#failures
    if (error !== undefined) {
      log[levelOf(failures)]({ err: toError(error), failures }, 'tasks of events could not be claimed')
    }
    this.#lookLater(10 + backoffMs(failures, engine.random(), BACKOFF))
  }

  #lookLater(ms: number): void {
    this.#retry?.cancel()
    if (this.#stopping.signal.aborted) return
    this.#retry = this.#options.engine.clock.setTimer(() => this.look(), ms, { keepAlive: false })
  }

  /** No claim is under way. */
  async #dropUnknown(lease: Lease): Promise<void> {
    const { engine, queue } = this.#options
    const now = engine.clock.monotonic()
    const waitMs = this.#droppedAt + DROP_EVERY_MS - now
    // A timer may fire a moment early, and nothing else may make it look.
    this.#lookLater(waitMs > 0 ? waitMs : DROP_EVERY_MS)
    if (waitMs > 0) return
    this.#droppedAt = now
    const dropped = await this.#holders.drop(engine.db, lease.id)
    if (dropped !== undefined && dropped > 0) engine.wake.signal(`q${queue}`)
  }

  #begin(tasks: readonly HeldTask[], lease: Lease): void {
    const run = this.#run(tasks, lease).finally(() => {
      this.#runs.delete(run)
      for (const { id } of tasks) this.#held.delete(id)
      this.look()
    })
    this.#runs.add(run)
  }

  async #run(tasks: readonly HeldTask[], lease: Lease): Promise<void> {
    const { run } = this.#options
    const { controller, release } = deriveController(lease.signal, this.#aborting.signal)
    try {
      const ends = await run(tasks, lease, controller.signal)
      await this.#settle(tasks, ends, lease)
    } catch (error) {
      this.#options.log.error({ err: toError(error) }, 'tasks of events ended without an answer')
    } finally {
      release()
    }
  }

  async #settle(tasks: readonly HeldTask[], ends: readonly TaskEnd[], lease: Lease): Promise<void> {
    const { engine } = this.#options
    const done = tasks.filter((_, index) => ends[index]?.end === 'done')
    const released = tasks.filter((_, index) => ends[index]?.end === 'released')
    const left = tasks.filter((_, index) => ends[index]?.end === 'left')
    const failed = tasks.flatMap(({ id, attempt }, index): Failed[] => {
      const end = ends[index]
      return end?.end === 'failed' ? [{ id, attempt, delay: end.delayMs, error: end.error }] : []
    })
    await this.#until(lease, async () => {
      if (done.length > 0) await ackTasks(engine.db, done, lease.id)
    })
    await this.#until(lease, async () => {
      if (failed.length > 0) await this.#fail(failed, lease)
    })
    await this.#until(lease, async () => {
      if (released.length > 0) await releaseTasks(engine.db, released, lease.id)
    })
    await this.#until(lease, async () => {
      if (left.length > 0) await releaseTasks(engine.db, left, lease.id, LEFT_MS)
    })
  }

  /** One that is refused would be each time, and keep the others from their ends. */
  async #fail(tasks: readonly Failed[], lease: Lease): Promise<void> {
    const { engine, log } = this.#options
    const write = (some: readonly Failed[]): Promise<unknown> => failTasks(engine.db, some, lease.id)
    await writeApart(tasks, write, (task, error) => {
      log.error(
        { err: error },
        'the error of a delivery was refused by the database, which has taken a text in its place',
      )
      return write([{ ...task, error: refusalText('the error of a delivery', error) }])
    })
  }

  /** Again and again while the lease is good: without an answer a task would be owned by a worker that does nothing. */
  async #until(lease: Lease, write: () => Promise<void>): Promise<void> {
    const { engine } = this.#options
    for (let failures = 1; !lease.signal.aborted; failures++) {
      try {
        await write()
        return
      } catch (error) {
        this.#options.log.warn(
          { err: toError(error) },
          'the end of a delivery could not be written, and is tried again',
        )
        const ms = 10 + backoffMs(failures, engine.random(), BACKOFF)
        await engine.clock.sleep(ms, { signal: lease.signal }).catch(() => {})
      }
    }
  }
}
