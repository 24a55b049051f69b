/** One turn of a process: it decides on slots that are due, and claims runs that wait, all in one transaction. */
import type { EngineDatabase, Transaction } from '../engine/database.ts'
import { STATEMENT_TIMEOUT_MS } from '../engine/database.ts'
import { letGoWhenIdle } from '../engine/let-go.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Missed, Overlap } from './api.ts'
import { dueSlots, MAX_CAUGHT_UP } from './due.ts'
import type { Expressions } from './expressions.ts'
import { CLAIM, COUNT_OPEN, INSERT_SLOTS, LOCK_DUE, MOVE_ON } from './statements.ts'

export interface Claimed {
  readonly id: string
  readonly name: string
  readonly slot: Date
  readonly attempt: number
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

/** Schedules of one turn. */
const MAX_SCHEDULES = 100

export interface Turn {
  readonly worker: string
  readonly names: readonly string[]
  /** Runs that there is room for. */
  readonly room: number
  readonly expressions: Expressions
  readonly log: Logger
  readonly signal: AbortSignal
}

export function takeTurn(db: EngineDatabase, turn: Turn): PromiseLike<readonly Claimed[]> {
  return db.transaction(
    async (tx) => {
      // A process that freezes in here must not hold the rows for longer than its claims count.
      const [rows] = await Promise.all([
        tx.query<DueRow>(LOCK_DUE, [turn.names, MAX_SCHEDULES, [...turn.expressions.unreadable]]),
        letGoWhenIdle(tx),
      ])
      const claimed: Claimed[] = []
      for (const row of rows) {
        if (row.due) await decide(tx, row, turn)
        const room = turn.room - claimed.length
        if (room > 0) claimed.push(...(await claim(tx, row, turn.worker, room)))
      }
      return claimed
    },
    { label: 'sluice.cron.turn', timeout: STATEMENT_TIMEOUT_MS, signal: turn.signal },
  )
}

/** One that cannot be read stays due, for another process or for better days. */
async function decide(tx: Transaction, row: DueRow, { expressions, log }: Turn): Promise<void> {
  const now = row.now.getTime()
  const written = { name: row.name, expression: row.expr, timezone: row.tz }
  const due = expressions.with(written, (expression) =>
    dueSlots(expression, row.next_at?.getTime() ?? now, now, row.missed),
  )
  if (due === undefined) return
  if (due.truncated)
    log.warn({ schedule: row.name }, `more than ${MAX_CAUGHT_UP} slots were missed; the rest is left out`)
  const slots = due.run.map((slot) => new Date(slot).toISOString())
  if (slots.length > 0) await tx.execute(INSERT_SLOTS, [row.name, slots, await whyNot(tx, row, slots.length)])
  await tx.execute(MOVE_ON, [row.name, due.next === undefined ? null : new Date(due.next).toISOString()])
}

/** Slots that are caught up with are meant to run each, one after another. */
async function whyNot(tx: Transaction, row: DueRow, slots: number): Promise<string | null> {
  const open = await tx.queryOne<{ running: number; queued: number }>(COUNT_OPEN, [row.name])
  const { running = 0, queued = 0 } = open ?? {}
  if (queued >= MAX_CAUGHT_UP) return `${queued} runs wait already`
  return row.overlap === 'skip' && slots === 1 && running + queued > 0 ? 'an earlier run was under way' : null
}

function claim(tx: Transaction, row: DueRow, worker: string, room: number): PromiseLike<readonly Claimed[]> {
  const overlaps = row.overlap === 'allow'
  return tx.query<Claimed & object>(CLAIM, [row.name, worker, overlaps ? room : 1, overlaps])
}
