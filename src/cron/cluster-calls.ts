/** What is asked of schedules in the cluster: each call is a statement, and a hint to the others when it changed something. */
import type { Engine } from '../engine/engine.ts'
import type { CronRun, Missed, Overlap, RunState, ScheduleStatus, StartedRun } from './api.ts'
import type { Entry, Plan } from './entry.ts'
import { unknownSchedule } from './scheduler.ts'
import { HISTORY, OWN_KEY, REGISTER, RESCHEDULE, RUN_NOW, STATUS, USER_KEY } from './statements.ts'

/** The topic of hints about schedules. */
const TOPIC = 'cron'
/** Calls of one key at once meet the row of the first only once it is committed. */
const RUN_NOW_TRIES = 5

interface HistoryRow {
  readonly id: string
  readonly name: string
  readonly slot: Date
  readonly manual: string | null
  readonly state: RunState
  readonly attempt: number
  readonly started: Date | null
  readonly finished: Date | null
  readonly took: number | null
  readonly err: string | null
}

interface StatusRow {
  readonly name: string
  readonly expr: string
  readonly tz: string
  readonly missed: Missed
  readonly overlap: Overlap
  readonly next_at: Date | null
  readonly paused_at: Date | null
  readonly started: Date | null
  readonly state: RunState | null
  readonly running: number
}

export class ClusterCalls {
  readonly #engine: Engine
  /** What the last `schedules()` saw. */
  readonly seen = new Map<string, ScheduleStatus>()

  constructor(engine: Engine) {
    this.#engine = engine
  }

  async register(entry: Entry): Promise<void> {
    const { name, plan, enabled, retries } = entry
    const next = enabled ? await this.#next(plan) : null
    const opts = JSON.stringify({ retries })
    const values = [name, ...columnsOf(plan), next, opts]
    await this.#engine.db.execute(REGISTER, values, { label: 'sluice.cron.register' })
  }

  async reschedule(name: string, plan: Plan): Promise<void> {
    const values = [name, ...columnsOf(plan), await this.#next(plan)]
    const changed = await this.#engine.db.execute(RESCHEDULE, values, { label: 'sluice.cron.reschedule' })
    await this.#changed(name, changed)
  }

  async remove(name: string): Promise<boolean> {
    const sql = `with gone as (delete from sluice.cron_run where name = $1 and state = 'queued' and finished is null)
      delete from sluice.cron where name = $1`
    const removed = await this.#engine.db.execute(sql, [name], { label: 'sluice.cron.remove' })
    this.seen.delete(name)
    return removed > 0
  }

  async pause(name: string, isPaused: boolean): Promise<void> {
    const sql = `update sluice.cron set paused_at = case when $2::boolean then coalesce(paused_at, clock_timestamp()) end
      where name = $1`
    await this.#changed(
      name,
      await this.#engine.db.execute(sql, [name, isPaused], { label: 'sluice.cron.pause' }),
    )
  }

  async runNow(name: string, key: string | undefined, ownKey: string): Promise<StartedRun> {
    const manual = key === undefined ? OWN_KEY + ownKey : USER_KEY + key
    for (let tries = 0; tries < RUN_NOW_TRIES; tries++) {
      const run = await this.#engine.db.queryOne<{ id: string; created: boolean }>(RUN_NOW, [name, manual], {
        label: 'sluice.cron.runNow',
        idempotent: true,
      })
      if (run === undefined) continue
      if (run.created) this.#engine.wake.signal(TOPIC)
      return { id: run.id, created: run.created }
    }
    return this.#unknown(name)
  }

  async history(name: string, limit: number): Promise<readonly CronRun[]> {
    const rows = await this.#engine.db.query<HistoryRow>(HISTORY, [name, limit], {
      label: 'sluice.cron.history',
    })
    return rows.map((row) => ({
      id: row.id,
      name: row.name,
      slot: row.slot,
      key: row.manual?.startsWith(USER_KEY) === true ? row.manual.slice(USER_KEY.length) : undefined,
      state: row.state,
      attempt: row.attempt,
      startedAt: row.started ?? undefined,
      finishedAt: row.finished ?? undefined,
      durationMs: row.took ?? undefined,
      error: row.err ?? undefined,
    }))
  }

  async schedules(): Promise<readonly ScheduleStatus[]> {
    const rows = await this.#engine.db.query<StatusRow>(STATUS, [], { label: 'sluice.cron.status' })
    const all = rows.map(statusOf)
    this.seen.clear()
    for (const each of all) this.seen.set(each.name, each)
    return all
  }

  /** By the database's clock. */
  async #next({ expression }: Plan): Promise<string | null> {
    const row = await this.#engine.db.queryOne<{ now: Date }>('select clock_timestamp() as now', [], {
      label: 'sluice.cron.now',
    })
    const next = expression.next(row!.now.getTime())
    return next === undefined ? null : new Date(next).toISOString()
  }

  async #changed(name: string, rows: number): Promise<void> {
    if (rows === 0) return this.#unknown(name)
    this.#engine.wake.signal(TOPIC)
  }

  async #unknown(name: string): Promise<never> {
    throw unknownSchedule(
      name,
      (await this.schedules()).map((each) => each.name),
    )
  }
}

function columnsOf({ expression, missed, overlap }: Plan): readonly string[] {
  return [expression.text, expression.timezone, missed, overlap]
}

function statusOf(row: StatusRow): ScheduleStatus {
  return {
    name: row.name,
    expression: row.expr,
    timezone: row.tz,
    overlap: row.overlap,
    missed: row.missed,
    paused: row.paused_at !== null,
    nextRun: row.paused_at === null && row.next_at !== null ? row.next_at : undefined,
    lastRun: row.started ?? undefined,
    lastState: row.state ?? undefined,
    running: row.running,
    problem: undefined,
  }
}
