/**
 * Which slots run when time has come to `now`, as a pure function of the policy.
 *
 * The newest due slot is in time when it is at most a minute late: timers are late, and processes are busy. Every other
 * due slot was missed. `skip` runs what is in time, `once` one run for all that is due, `all` each of them, the oldest
 * first, up to 1,000. However long nobody looked, at most 1,000 slots are computed.
 */
import type { Missed } from './api.ts'
import type { Expression } from './expression.ts'

export const IN_TIME_MS = 60_000
export const MAX_CAUGHT_UP = 1_000

export interface Due {
  /** Slots to run, the oldest first. */
  readonly run: readonly number[]
  /** More were due than are caught up with; they are left out. */
  readonly truncated: boolean
  /** The next slot, always after `now`. */
  readonly next: number | undefined
}

/** `dueAt`: the first slot that has not been decided on. */
export function dueSlots(expression: Expression, dueAt: number, now: number, missed: Missed): Due {
  if (dueAt > now) return { run: [], truncated: false, next: dueAt }
  const next = expression.next(now)
  if (missed === 'all') return { ...each(expression, dueAt, now), next }
  const newest = Math.max(expression.lastAt(now) ?? dueAt, dueAt)
  const runs = missed === 'once' || now - newest <= IN_TIME_MS
  return { run: runs ? [newest] : [], truncated: false, next }
}

function each(expression: Expression, dueAt: number, now: number): Omit<Due, 'next'> {
  const run: number[] = []
  for (
    let slot: number | undefined = dueAt;
    slot !== undefined && slot <= now;
    slot = expression.next(slot)
  ) {
    if (run.length === MAX_CAUGHT_UP) return { run, truncated: true }
    run.push(slot)
  }
  return { run, truncated: false }
}
