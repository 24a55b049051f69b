/**
 * Runs functions of schedules in the component's worker pool, each under a limit, and ends them at a shutdown: first it
 * waits, then their signals abort, and a second later it waits no more.
 */
import { AsyncResource } from 'node:async_hooks'
import type { ComponentBase } from '../app/component.ts'
import { deriveController, onAbort } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { errorText } from '../engine/error-text.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Transaction } from '../components/postgres/api.ts'
import type { Entry } from './entry.ts'
import type { CronMetrics } from './metrics.ts'

export interface RunRequest {
  readonly id: string
  readonly entry: Entry
  readonly slot: Date
  readonly attempt: number
  /** After its slot; undefined for what has none, or was tried before. */
  readonly lateMs: number | undefined
  /** Aborts the run. */
  readonly signal?: AbortSignal | undefined
}

export type Outcome =
  { readonly state: 'done' } | { readonly state: 'failed'; readonly error: string; readonly thrown: Error }

/** Calls the function, with a transaction where the schedule wants one. */
export type Invoke = (
  call: (tx: Transaction | undefined) => Promise<void>,
  signal: AbortSignal,
) => Promise<void>

const WITHOUT_TRANSACTION: Invoke = (call) => call(undefined)
/** For functions that heed their signal; others are left behind. */
const ABORT_GRACE_MS = 1_000

export class Runner {
  readonly #base: ComponentBase
  readonly #clock: Clock
  readonly #log: Logger
  readonly #metrics: CronMetrics
  readonly #stopping = new AbortController()
  readonly #work = new Set<Promise<unknown>>()
  readonly #running = new Map<string, number>()
  /** Of no request: whoever registers a schedule or asks for a run must not lend its context to the function. */
  readonly #scope = new AsyncResource('sluice.cron')

  constructor(base: ComponentBase, clock: Clock, log: Logger, metrics: CronMetrics) {
    this.#base = base
    this.#clock = clock
    this.#log = log
    this.#metrics = metrics
  }

  /** Runs that may be started without waiting for a worker. */
  get free(): number {
    const { workers, running } = this.#base.status().pool
    return Math.max(0, workers - Math.max(running, this.#work.size))
  }

  running(name: string): number {
    return this.#running.get(name) ?? 0
  }

  /** Never rejects; `end` is what has to follow before a shutdown may go on. */
  run(request: RunRequest, end: (outcome: Outcome) => Promise<void>, invoke = WITHOUT_TRANSACTION): void {
    const { name } = request.entry
    if (request.lateMs !== undefined) this.#metrics.late(name, request.lateMs)
    this.#running.set(name, this.running(name) + 1)
    const work = this.#scope
      .runInAsyncScope(() => this.#run(request, invoke))
      .catch(failed)
      .then((outcome) => {
        const left = this.running(name) - 1
        if (left === 0) this.#running.delete(name)
        else this.#running.set(name, left)
        this.#metrics.ran(name, outcome.state)
        return end(outcome)
      })
      .catch((error: unknown) =>
        this.#log.error({ err: toError(error) }, `the end of a run of "${name}" was lost`),
      )
      .finally(() => this.#work.delete(work))
    this.#work.add(work)
  }

  /** Waits for the runs, aborts them at the limit or the signal, and leaves those behind that ignore it. */
  async close(signal: AbortSignal, limitMs: number): Promise<void> {
    const reason = new SluiceError('SLUICE_SHUTDOWN', 'the run was aborted by the shutdown of its process')
    const abort = (): void => this.#stopping.abort(reason)
    if (this.#work.size === 0) return abort()
    const limit = this.#clock.setTimer(abort, limitMs)
    const release = onAbort(signal, abort)
    let last: { cancel(): void } | undefined
    const tooLate = new Promise<void>((resolve) => {
      onAbort(this.#stopping.signal, () => (last = this.#clock.setTimer(resolve, ABORT_GRACE_MS)))
    })
    try {
      await Promise.race([this.#idle(), tooLate])
    } finally {
      limit.cancel()
      release()
      abort()
      last?.cancel()
    }
  }

  async #idle(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work)
  }

  async #run(request: RunRequest, invoke: Invoke): Promise<Outcome> {
    const { entry, slot, attempt, id } = request
    const log = this.#log.child({ schedule: entry.name, slot: slot.toISOString(), run: id })
    const scheduledAt = new Date(this.#clock.now())
    const { controller, release } = deriveController(this.#stopping.signal, request.signal)
    try {
      await this.#base.submit(
        async ({ signal }) => {
          const call = async (tx: Transaction | undefined): Promise<void> => {
            await entry.fn({ name: entry.name, slot, scheduledAt, attempt, signal, log, tx })
          }
          await invoke(call, signal)
        },
        { signal: controller.signal, timeout: entry.timeoutMs },
      )
      return { state: 'done' }
    } catch (error) {
      log.error({ err: toError(error) }, `a run of "${entry.name}" failed`)
      return failed(error)
    } finally {
      release()
    }
  }
}

function failed(error: unknown): Outcome {
  return { state: 'failed', error: errorText(error), thrown: toError(error) }
}
