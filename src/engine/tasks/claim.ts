/**
 * Takes ready tasks of a queue for a worker, the most urgent first, then by due time. Attempts are counted here; a
 * death of the worker gives them back, but for one that ran alone (lone.ts).
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { FROM_THE_BEGINNING, type ClaimPosition } from './claim-position.ts'
import type { HeldTask } from './task.ts'

/**
 * in: $1 queue, $2 worker, $3 limit, $4 for each priority the due time to begin at, in milliseconds since 1970
 * out: the tasks as JSON, in no order; null for none
 * effect: their owner and attempt
 */
const CLAIM = 'call sluice.take_tasks($1, $2, $3, $4, null)'

/**
 * Up to `limit` tasks. `position`: kept by who claims again and again, for the sake of speed; a look that begins there
 * and brings too little is followed by another one, and `onLost` called where that fails and the first brought some.
 */
export async function claimTasks(
  db: EngineDatabase,
  queue: number,
  worker: string,
  limit: number,
  position?: ClaimPosition,
  onLost: () => void = () => undefined,
): Promise<HeldTask[]> {
  const look = position?.look(limit)
  const row = await db.queryOne<{ taken: string | null }>(
    CLAIM,
    [queue, worker, limit, look?.from ?? FROM_THE_BEGINNING],
    { label: 'sluice.claim', idempotent: false, timeout: STATEMENT_TIMEOUT_MS },
  )
  const tasks = JSON.parse(row?.taken ?? '[]') as HeldTask[]
  const wantsMore = look?.found(tasks) ?? false
  tasks.sort(byUrgency)
  if (!wantsMore) return tasks
  try {
    return [...tasks, ...(await claimTasks(db, queue, worker, limit - tasks.length, position))]
  } catch (error) {
    if (tasks.length === 0) throw error
    onLost()
    return tasks
  }
}

export function byUrgency(a: HeldTask, b: HeldTask): number {
  return a.prio - b.prio || a.run_at - b.run_at || Number(a.id) - Number(b.id)
}
