/**
 * Background: fire-and-forget work that outlives its request.
 *
 * - Detached: the work is handed a signal of its own, which aborts at its timeout and when `close` runs out of time, and
 *   never because the request that started it ended. It keeps that request's async context (request id), and `trace`
 *   may link it to the request's trace.
 * - Bounded: `workers` at once, `maxWaiting` more; beyond that `run` answers false, and the refusal is reported.
 * - A failure is reported to `onError` and counted; it reaches nobody else.
 * - `close` takes no more work and finishes what it has, waiting work too; what is left at its timeout is aborted and
 *   reported.
 */
import type { Clock } from '../core/clock.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { WorkerPool, type PoolStats, type TaskFunction } from './worker-pool.ts'

export interface BackgroundOptions {
  /** For errors and metrics. @default 'background' */
  readonly name?: string
  /** Functions that run at once. @default 100 */
  readonly workers?: number
  /** Work that may wait. @default 10000 */
  readonly maxWaiting?: number
  /** Limit of one piece of work, waiting included, where `run` gives none. @default '30s' */
  readonly timeout?: Duration
  /** Receives every failure and refusal with the name of the work. What it throws is ignored. @default a process warning */
  readonly onError?: (error: Error, work: string) => void
  /**
   * Called by `run`, in the caller's context; the function it returns runs the work, in a span linked to the caller's.
   * Must not throw.
   */
  readonly trace?: (work: string) => <T>(body: () => T) => T
  /** @default the system's */
  readonly clock?: Clock
}

export interface Background {
  /** Work that runs. */
  readonly running: number
  /** Work that waits for a place. */
  readonly waiting: number
  /**
   * Starts `fn` now, or when there is a place. Neither delays nor breaks the caller: it never throws, and failures go to
   * `onError`. False when the work was refused, because the queue is full or the app is shutting down.
   */
  run(name: string, fn: TaskFunction<unknown>, options?: { readonly timeout?: Duration }): boolean
  /** Resolves when nothing runs and nothing waits. Intake goes on. */
  drain(options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Takes no more work and finishes what it has, within `timeout` (10 s by default); then it rejects with SLUICE_TIMEOUT. */
  close(options?: { readonly timeout?: Duration }): Promise<void>
  stats(): PoolStats
}

const DEFAULTS = { name: 'background', workers: 100, maxWaiting: 10_000, timeout: '30s' } as const

export function createBackground(options: BackgroundOptions = {}): Background {
  const { name, workers, maxWaiting, timeout: defaultTimeout } = { ...DEFAULTS, ...options }
  durationMs(defaultTimeout, `${name}: timeout`)
  const pool = new WorkerPool({ name, workers, maxWaiting, ...(options.clock && { clock: options.clock }) })

  const report = (error: unknown, work: string): void => {
    try {
      if (options.onError === undefined)
        process.emitWarning(toError(error), { detail: `in background work "${work}"` })
      else options.onError(toError(error), work)
    } catch {
      // The handler is foreign code.
    }
  }
  return {
    get running() {
      return pool.running
    },
    get waiting() {
      return pool.waiting
    },
    run(work, fn, runOptions) {
      if (pool.closed) {
        report(
          new SluiceError('SLUICE_SHUTDOWN', `"${name}: ${work}" was refused: the app is shutting down`),
          work,
        )
        return false
      }
      const traced = options.trace?.(work)
      const body: TaskFunction<unknown> = traced === undefined ? fn : (call) => traced(() => fn(call))
      const accepted = pool.free > 0 || pool.waiting < maxWaiting
      const timeout = runOptions?.timeout ?? defaultTimeout
      pool.submit(body, { name: work, timeout }).then(undefined, (error: unknown) => report(error, work))
      return accepted
    },
    drain: (drainOptions) => pool.drain(drainOptions),
    close: (closeOptions) => pool.close({ ...closeOptions, finishWaiting: true }),
    stats: () => pool.stats(),
  }
}
