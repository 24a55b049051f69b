/**
 * One call of a handler that takes many jobs at once. Each job has its own end: one whose data is refused never gets
 * there, `fail` fails one, a throw fails those of which nothing was said, and the rest are done.
 */
import { invalidArgument } from '../../core/errors.ts'
import { LazySignal } from '../../core/lazy-signal.ts'
import type { Logger } from '../../telemetry/log.ts'
import { hasTraceSdk } from '../../telemetry/otel-api.ts'
import { runInSpan, startSpan, type ActiveSpan } from '../../telemetry/trace.ts'
import type { BatchContext, BatchHandler } from '../api.ts'
import type { JobRun, RunBatch, RunHost } from './job-run.ts'

export class BatchRun implements BatchContext<unknown>, RunBatch {
  readonly #host: RunHost
  readonly #onEnd: () => void
  readonly #abort = new LazySignal()
  readonly #cancelled: (reason: unknown) => boolean
  #open: number
  jobs: readonly JobRun[]

  /** `isOwn`: does the reason concern one job alone, as a cancel does? */
  constructor(
    host: RunHost,
    runs: readonly JobRun[],
    isOwn: (reason: unknown) => boolean,
    onEnd: () => void,
  ) {
    this.#host = host
    this.#onEnd = onEnd
    this.#cancelled = isOwn
    this.#open = runs.length
    this.jobs = runs
    for (const run of runs) run.batch = this
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }
  get log(): Logger {
    return this.#host.log.child({ job: this.#host.job.name, jobs: this.jobs.length })
  }

  /** A property, so that it may be taken out of the context. */
  readonly fail = (id: string, error: unknown): void => {
    const run = this.jobs.find((each) => each.id === id)
    if (run !== undefined) run.fail(error ?? new Error('failed without a reason'))
    else throw invalidArgument(`job "${this.#host.job.name}": fail`, 'the id of a job of this batch', id)
  }

  aborted(reason: unknown): void {
    if (!this.#cancelled(reason)) this.#abort.abort(reason)
  }

  ended(): void {
    this.#open -= 1
    if (this.#open === 0) this.#onEnd()
  }

  /** One for the whole call, with a trace of its own: its jobs come from many, to which it points. */
  #span(): ActiveSpan | undefined {
    if (!hasTraceSdk()) return undefined
    const { name } = this.#host.job
    const attributes = { 'sluice.job': name, 'sluice.jobs': this.jobs.length }
    const links = this.jobs.map((run) => run.traceparent)
    return startSpan(`job ${name}`, { kind: 'consumer', attributes, detached: true, links })
  }

  async run(handler: BatchHandler<unknown>): Promise<void> {
    for (const run of this.jobs) this.#host.watch(run)
    await Promise.all(
      this.jobs.map(async (run) => {
        try {
          await run.read()
        } catch (error) {
          run.fail(error)
        }
      }),
    )
    const jobs = this.jobs.filter((run) => !run.hasEnded)
    this.jobs = jobs
    if (jobs.length === 0) return
    try {
      await runInSpan(this.#span(), () => handler(this))
      for (const run of jobs) run.end(undefined)
    } catch (error) {
      for (const run of jobs) run.fail(error)
    }
  }
}
