/**
 * Works on the tasks of one queue that have no key: deliveries that are tried again, events that wait for their time.
 *
 * Tasks are claimed a few at a time, `concurrency` runs at once. What a run says about its tasks is written until the
 * database has taken it, or the lease is lost, so that no task stays owned and forgotten.
 *
 * A task whose attempt before ended without an answer may have ended its process. It is claimed and run alone, so that
 * it takes no others along, whose attempts would be used up with its own.
 */
import { backoffMs } from '../core/backoff.ts'
import { deriveController, onAbort } from '../core/abort.ts'
import { toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { claimTasks } from '../engine/tasks/claim.ts'
import { ClaimPosition } from '../engine/tasks/claim-position.ts'
import { ackTasks, failTasks, releaseTasks, type Failed } from '../engine/tasks/finish.ts'
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

export class TaskLoop {
  readonly #options: TaskLoopOptions
  readonly #stopping = new AbortController()
  readonly #aborting = new AbortController()
  readonly #runs = new Set<Promise<void>>()
  readonly #offHint: () => void
  /** Behind tasks that were claimed, where an open transaction keeps the server from clearing those away. */
  readonly #position: ClaimPosition
  #claiming: Promise<void> | undefined
  #again = false
  /** Nothing is known yet of what there is: the first is taken alone. */
  #careful = true
  paused = false

  constructor(options: TaskLoopOptions) {
    this.#options = options
    this.#position = new ClaimPosition(options.engine.clock)
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
    if (this.#stopping.signal.aborted || this.paused) return
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
    const release = onAbort(signal, (reason) => this.#aborting.abort(reason))
    try {
      await this.#claiming
      await Promise.all(this.#runs)
    } finally {
      release()
    }
  }

  async #claim(): Promise<void> {
    const { engine, log, queue, concurrency, size, isSuspect } = this.#options
    for (;;) {
      const lease = engine.worker.lease
      const limit = this.#careful ? 1 : concurrency
      const free = limit - this.#runs.size
      if (lease === undefined || free <= 0 || this.#stopping.signal.aborted || this.paused) return
      let tasks: readonly HeldTask[]
      try {
        const most = this.#careful ? 1 : free * size
        tasks = await claimTasks(engine.db, queue, lease.id, most, this.#position)
      } catch (error) {
        log.debug({ err: toError(error) }, 'tasks of events could not be claimed')
        return
      }
      const wasCareful = this.#careful
      if (tasks.length > 0) this.#careful = tasks.some(isSuspect)
      for (let from = 0; from < tasks.length; from += size) this.#begin(tasks.slice(from, from + size), lease)
      if (tasks.length < (wasCareful ? 1 : free * size)) return
    }
  }

  #begin(tasks: readonly HeldTask[], lease: Lease): void {
    const run = this.#run(tasks, lease).finally(() => {
      this.#runs.delete(run)
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
      if (failed.length > 0) await failTasks(engine.db, failed, lease.id)
    })
    await this.#until(lease, async () => {
      if (released.length > 0) await releaseTasks(engine.db, released, lease.id)
    })
    await this.#until(lease, async () => {
      if (left.length > 0) await releaseTasks(engine.db, left, lease.id, LEFT_MS)
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
