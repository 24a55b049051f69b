/** Progress of running jobs on its way to the database: the newest of each, all of a second in one statement. */
import type { Timer } from '../../core/clock.ts'
import { toError } from '../../core/errors.ts'
import { storedText } from '../../core/stored-text.ts'
import { STATEMENT_TIMEOUT_MS } from '../../engine/database.ts'
import type { Engine } from '../../engine/engine.ts'
import type { JobRun } from './job-run.ts'

const EVERY_MS = 1_000
const MAX_NOTE = 500

/** in: $1 json array of id, attempt, owner, prog · effect: prog of those that are ours */
const PROGRESS = `
update sluice.task t set prog = a.prog
from json_to_recordset($1::json) as a(id bigint, attempt smallint, owner bigint, prog text)
where t.id = a.id and ((t.attempt = a.attempt and t.owner = a.owner) or (t.attempt = 0 and a.attempt = 1 and t.owner is null
  and t.id in (select unnest(l.ids) from sluice.lot l where l.owner = a.owner)))`

interface Report {
  readonly id: string
  readonly attempt: number
  readonly owner: string
  /** JSON of fraction and note. */
  readonly prog: string
}

export class ProgressWriter {
  readonly #engine: Engine
  readonly #reports = new Map<string, Report>()
  #timer: Timer | undefined
  #closed = false

  constructor(engine: Engine) {
    this.#engine = engine
  }

  report({ id, attempt, ends }: JobRun, fraction: number, note: string | undefined): void {
    if (this.#closed) return
    const text = note === undefined ? undefined : storedText(note, MAX_NOTE)
    this.#reports.set(id, {
      id,
      attempt,
      owner: ends.lease.id,
      prog: JSON.stringify({ fraction, note: text }),
    })
    this.#timer ??= this.#engine.clock.setTimer(() => void this.#write(), EVERY_MS)
  }

  /** The job has ended: what was said of it is of no interest any more. */
  forget(id: string): void {
    if (this.#reports.size > 0) this.#reports.delete(id)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#reports.clear()
  }

  async #write(): Promise<void> {
    const reports = [...this.#reports.values()]
    this.#reports.clear()
    const { db, clock, log } = this.#engine
    try {
      if (reports.length > 0) {
        await db.execute(PROGRESS, [JSON.stringify(reports)], {
          idempotent: true,
          timeout: STATEMENT_TIMEOUT_MS,
          label: 'sluice.progress',
        })
      }
    } catch (error) {
      log.debug({ err: toError(error) }, 'progress of jobs could not be stored')
    }
    this.#timer = undefined
    if (this.#reports.size > 0 && !this.#closed)
      this.#timer = clock.setTimer(() => void this.#write(), EVERY_MS)
  }
}
