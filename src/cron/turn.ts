/**
 * One turn of a process: it decides on slots that are due, and claims runs that wait, all in one transaction. However
 * many schedules there are, it is a handful of round trips: the rows, then everything that follows from them.
 */
import type { EngineDatabase, Transaction } from '../engine/database.ts'
import { STATEMENT_TIMEOUT_MS } from '../engine/database.ts'
import { letGoWhenIdle } from '../engine/let-go.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Missed, Overlap } from './api.ts'
import { dueSlots, MAX_CAUGHT_UP } from './due.ts'
import type { Expressions } from './expressions.ts'
import { CLAIM, INSERT_SLOTS, LOCK_DUE, MOVE_ON, UNTIL_RETRY } from './statements.ts'

export interface Claimed {
  readonly id: string
  readonly name: string
  readonly slot: Date
  readonly attempt: number
  /** Milliseconds from its slot, by the database's clock; null for a run by hand, and for one that was tried before. */
  readonly late: number | null
}

export interface Taken {
  readonly claimed: readonly Claimed[]
  /** Slots that were left out, for what runs or waits already. */
  readonly skipped: readonly Skipped[]
  /** Until a run is tried again. */
  readonly retryMs: number | null
}

interface Skipped {
  readonly name: string
  readonly skipped: number
}

interface DueRow {
  readonly name: string
  readonly expr: string
  readonly tz: string
  readonly missed: Missed
  readonly overlap: Overlap
  readonly next_at: Date | null
  readonly now: Date
  readonly due: boolean
}

interface Decision {
  readonly row: DueRow
  readonly slots: readonly number[]
  readonly next: number | undefined
}

/** Schedules of one turn. */
const MAX_SCHEDULES = 100
/** Slots of one turn, and those of the schedule that exceeds it; the rest has the next turn. */
const MAX_SLOTS = MAX_CAUGHT_UP

export interface Turn {
  readonly worker: string
  readonly names: readonly string[]
  /** Runs that there is room for. */
  readonly room: number
  readonly expressions: Expressions
  readonly log: Logger
  readonly signal: AbortSignal
}

export function takeTurn(db: EngineDatabase, turn: Turn): PromiseLike<Taken> {
  return db.transaction(
    async (tx) => {
      // Asked for before the rows: what becomes due in between is among them. Those that were due before wait for
      // something else. A process that freezes in here must not hold the rows for longer than its claims count.
      const [[retry], rows] = await Promise.all([
        tx.query<{ ms: number | null }>(UNTIL_RETRY, [turn.names]),
        tx.query<DueRow>(LOCK_DUE, [turn.names, MAX_SCHEDULES, [...turn.expressions.unreadable]]),
        letGoWhenIdle(tx),
      ])
      const retryMs = retry?.ms ?? null
      if (rows.length === 0) return { claimed: [], skipped: [], retryMs }
      // Sent together, and run in this order: what is claimed may have been inserted just before.
      const decisions = decide(rows, turn)
      const [skipped, , claimed] = await Promise.all([
        insert(tx, decisions),
        moveOn(tx, decisions),
        claim(tx, rows, turn),
      ])
      return { claimed, skipped, retryMs }
    },
    { label: 'sluice.cron.turn', timeout: STATEMENT_TIMEOUT_MS, signal: turn.signal },
  )
}

/** A schedule that cannot be read stays due, for another process or for better days. */
function decide(rows: readonly DueRow[], { expressions, log }: Turn): readonly Decision[] {
  const decisions: Decision[] = []
  let slots = 0
  for (const row of rows) {
    if (!row.due || slots >= MAX_SLOTS) continue
    const now = row.now.getTime()
    const written = { name: row.name, expression: row.expr, timezone: row.tz }
    const due = expressions.with(written, (expression) =>
      dueSlots(expression, row.next_at?.getTime() ?? now, now, row.missed),
    )
    if (due === undefined) continue
    if (due.truncated)
      log.warn({ schedule: row.name }, `more than ${MAX_CAUGHT_UP} slots were missed; the rest is left out`)
    slots += due.run.length
    decisions.push({ row, slots: due.run, next: due.next })
  }
  return decisions
}

async function insert(tx: Transaction, decisions: readonly Decision[]): Promise<readonly Skipped[]> {
  const slots = decisions.flatMap(({ row, slots: all }) => {
    // Slots that are caught up with are meant to run each, one after another.
    const alone = row.overlap === 'skip' && all.length === 1
    return all.map((slot) => ({ name: row.name, at: timeOf(slot), alone }))
  })
  if (slots.length === 0) return []
  return tx.query<Skipped & object>(INSERT_SLOTS, [
    slots.map(({ name }) => name),
    slots.map(({ at }) => at),
    slots.map(({ alone }) => alone),
    MAX_CAUGHT_UP,
  ])
}

async function moveOn(tx: Transaction, decisions: readonly Decision[]): Promise<void> {
  if (decisions.length === 0) return
  const names = decisions.map(({ row }) => row.name)
  await tx.execute(MOVE_ON, [names, decisions.map(({ next }) => timeOf(next))])
}

async function claim(
  tx: Transaction,
  rows: readonly DueRow[],
  { worker, room }: Turn,
): Promise<readonly Claimed[]> {
  if (room === 0) return []
  const names = rows.map(({ name }) => name)
  const overlaps = rows.map(({ overlap }) => overlap === 'allow')
  return tx.query<Claimed & object>(CLAIM, [names, overlaps, worker, room])
}

function timeOf(ms: number | undefined): string | null {
  return ms === undefined ? null : new Date(ms).toISOString()
}
