/**
 * Writes down how runs ended, as often as it takes while this process holds its lease. Of an error that the database
 * refuses for what is in it, a text is stored that it takes: the run must not stay behind as one that runs.
 */
import { backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../engine/database.ts'
import { isRefusal, refusalText } from '../engine/refusal.ts'
import type { Lease } from '../engine/worker/worker.ts'
import { failureLog } from '../telemetry/log-limit.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Entry } from './entry.ts'
import type { Outcome } from './runner.ts'
import { FINISH, RETRY } from './statements.ts'
import type { Claimed } from './turn.ts'

export interface RunEndsOptions {
  readonly db: EngineDatabase
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  /** Nobody waits for what is not written by now. */
  readonly isOver: () => boolean
}

const BACKOFF = { baseMs: 1_000, capMs: 60_000 } as const
const AGAIN_MS = 1_000
const CALL = { label: 'sluice.cron.finish', timeout: STATEMENT_TIMEOUT_MS } as const
/** Of the end of one run, in a row, before a check fails. */
const FAILURES_TO_FAIL = 5

interface Failing {
  readonly schedule: string
  readonly failures: number
  readonly error: Error
}

export class RunEnds {
  readonly #options: RunEndsOptions
  readonly #tell: ReturnType<typeof failureLog>
  /** By run. */
  readonly #failing = new Map<string, Failing>()

  constructor(options: RunEndsOptions) {
    this.#options = options
    this.#tell = failureLog(options.log, options.clock)
  }

  /** Throws SLUICE_UNAVAILABLE when the end of a run cannot be written down. */
  check(): void {
    for (const { schedule, failures, error } of this.#failing.values()) {
      if (failures < FAILURES_TO_FAIL) continue
      const text = `the end of a run of "${schedule}" could not be stored ${failures} times: to all processes it still runs`
      throw new SluiceError('SLUICE_UNAVAILABLE', text, { cause: error, retryable: true })
    }
  }

  /** Rejects when the run is no longer this process's to end. */
  async write(entry: Entry, run: Claimed, lease: Lease, outcome: Outcome): Promise<void> {
    try {
      await this.#write(entry, run, lease, outcome)
    } finally {
      this.#failing.delete(run.id)
    }
  }

  async #write(entry: Entry, run: Claimed, lease: Lease, outcome: Outcome): Promise<void> {
    const { db, clock, random, log, isOver } = this.#options
    const failed = outcome.state === 'failed'
    const again = failed && run.attempt <= entry.retries
    const wait = backoffMs(run.attempt, random(), BACKOFF)
    let error = failed ? outcome.error : null
    for (;;) {
      try {
        const written = await (again
          ? db.query(RETRY, [run.id, lease.id, wait, error], CALL)
          : db.query(FINISH, [run.id, lease.id, outcome.state, error], CALL))
        if (written.length === 0 && !entry.transaction)
          log.warn(
            { schedule: run.name, run: run.id },
            'a run ended that was taken for lost: its end does not count',
          )
        return
      } catch (thrown) {
        if (lease.signal.aborted || isOver() || hasCode(thrown, 'SLUICE_CLOSED')) throw thrown
        this.#failed(run, toError(thrown))
        const taken = isRefusal(thrown) ? refusalText('the error of the run', thrown) : error
        if (failed && taken !== error) error = taken
        else await clock.sleep(AGAIN_MS, { signal: lease.signal })
      }
    }
  }

  #failed({ id, name }: Claimed, error: Error): void {
    const failures = (this.#failing.get(id)?.failures ?? 0) + 1
    this.#failing.set(id, { schedule: name, failures, error })
    const fields = { err: error, schedule: name, run: id }
    this.#tell(name, fields, `the end of a run of "${name}" could not be stored, and is tried again`)
  }
}
