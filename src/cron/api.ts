/**
 * What services are handed by `cron()`, and what it promises.
 *
 * - A **slot** is a point in time that an expression names, a whole second. Of one name each slot runs at most once: in
 *   this process, or with a database in all processes together.
 * - **At most once** by default: the run of a process that died is marked failed with `worker lost`. With `retries` it is
 *   **at least once**: another process runs it again, so that what it does must bear being done twice, or be done
 *   through `tx`, which commits together with the run's end (`transaction: true`).
 * - The expression that counts is the one that was registered last, by whichever process.
 */
import type { ComponentBase } from '../app/component.ts'
import type { Transaction } from '../components/postgres/api.ts'
import type { AsyncResult } from '../core/async-result.ts'
import type { Duration } from '../core/duration.ts'
import type { Logger } from '../telemetry/log.ts'

/** What happens to a slot while an earlier run is under way: left out, run after it, or run beside it. */
export type Overlap = 'skip' | 'queue' | 'allow'
/** What happens to slots that nobody ran in time: left out, one run for all of them, or each (at most 1,000). */
export type Missed = 'skip' | 'once' | 'all'

export interface HandleOptions {
  /** Limit of one run, 1 ms to 24 days. @default '10m' */
  readonly timeout?: Duration | undefined
  /** Runs after one that failed or whose process died, 0 to 100; with a database only. @default 0 */
  readonly retries?: number | undefined
  /** Hand the function a transaction that commits with the run's end; with a database only. @default false */
  readonly transaction?: boolean | undefined
}

export interface ScheduleOptions extends HandleOptions {
  /** Such as `Europe/Berlin`. @default 'UTC' */
  readonly timezone?: string | undefined
  /** @default 'skip' */
  readonly overlap?: Overlap | undefined
  /** @default 'skip' */
  readonly missed?: Missed | undefined
}

export interface CronContext {
  readonly name: string
  /** The time that the expression names; for `runNow` the time it was asked for. Names the run's effect. */
  readonly slot: Date
  /** When it was handed to a process. */
  readonly scheduledAt: Date
  /** 1 for the first. */
  readonly attempt: number
  /** Aborts at the timeout, when this process was taken for dead, and late in a shutdown. */
  readonly signal: AbortSignal
  readonly log: Logger
  /** With `transaction: true`. */
  readonly tx: Transaction | undefined
}

export type CronHandler = (context: CronContext) => unknown

export type RunState = 'queued' | 'running' | 'done' | 'failed' | 'skipped'

export interface CronRun {
  readonly id: string
  readonly name: string
  readonly slot: Date
  /** The key of `runNow`. */
  readonly key: string | undefined
  readonly state: RunState
  readonly attempt: number
  readonly startedAt: Date | undefined
  readonly finishedAt: Date | undefined
  readonly durationMs: number | undefined
  readonly error: string | undefined
}

export interface ScheduleStatus {
  readonly name: string
  readonly expression: string
  readonly timezone: string
  readonly overlap: Overlap
  readonly missed: Missed
  readonly paused: boolean
  /** Undefined while it is paused, or where the expression names no time any more. */
  readonly nextRun: Date | undefined
  readonly lastRun: Date | undefined
  readonly lastState: RunState | undefined
  /** Runs under way: of all processes in `schedules()`, of this one in `status()`. */
  readonly running: number
  /** Why this process cannot read what stands in the database, and starts no slot of it. Others may. */
  readonly problem: string | undefined
}

export interface StartedRun {
  readonly id: string
  /** False where a run of that key was there already, whose id this is. */
  readonly created: boolean
}

export interface RunNowOptions {
  /** Calls of one key are one run, for as long as the history holds it. At most 200 characters. @default a new run */
  readonly key?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Cron extends ComponentBase {
  /**
   * Runs `fn` at the times that the expression names, once the component is ready. Throws SLUICE_INVALID_ARGUMENT for a
   * wrong expression or time zone, and for a name that is taken. `cron.jobs` in the configuration wins over what is
   * said here.
   */
  schedule(name: string, expression: string, fn: CronHandler, options?: ScheduleOptions): void
  /** The function of a schedule that `cron.jobs` in the configuration names. SLUICE_CONFIG where it does not. */
  handle(name: string, fn: CronHandler, options?: HandleOptions): void
  /** Another expression, from now on. */
  reschedule(
    name: string,
    expression: string,
    options?: Pick<ScheduleOptions, 'timezone' | 'overlap' | 'missed'>,
  ): AsyncResult<void>
  /** Forgets the schedule in every process; what runs goes on. False where there was none. */
  remove(name: string): AsyncResult<boolean>
  /** No new runs by time; what runs goes on. What becomes due meanwhile is missed. */
  pause(name: string): AsyncResult<void>
  resume(name: string): AsyncResult<void>
  /** One run as soon as there is room, also of a paused schedule. Resolves when it is queued. */
  runNow(name: string, options?: RunNowOptions): AsyncResult<StartedRun>
  /** Runs, the newest first. @default limit 100 */
  history(name: string, options?: { readonly limit?: number | undefined }): AsyncResult<readonly CronRun[]>
  schedules(): AsyncResult<readonly ScheduleStatus[]>
}
