/**
 * Tasks whose processes died, and which of them did it. A process that is killed takes all that it holds along, and nobody
 * can tell by then which of them began, or which one ended it. So the attempt is given back, and the death noted in the
 * task's errors. One that was there so often that it has one attempt left is a suspect: it runs while no other suspect
 * of its process does, and the row of the worker says so before it begins. A death then counts against it, and
 * against no other.
 *
 *     ready ──claimed──▶ held ──its process died──▶ ready, the attempt given back
 *                                                      │ until the next attempt is the last
 *                                                      ▼
 *                        dead ◀──its process died── alone ◀── suspect
 *
 * So it is for jobs, whose workers run suspects so (jobs/run/suspects.ts). Deliveries of events are counted at each claim,
 * and find out by themselves who is to run alone (events/task-loop.ts).
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import type { HeldTask } from './task.ts'

/**
 * Deaths beside others, in a row, that are counted; those of a task come to no more than it has attempts, which are 100 at
 * most. A lower limit would find sooner what ends its process. But of processes that are killed twice a second one task in
 * four dies with each: from two deaths on thousands that did no harm ran one after the other, and work stood.
 */
export const MAX_BESIDE = 100

/** Whether queue `q` is one of jobs: their names have no slash; those of subscriptions and of the engine have one. */
export const IS_JOBS = `position('/' in q.name) = 0`

/** Of a task that is held: its process has died under it, and may have died of it. */
export function isSuspect({ errs, attempt, max_attempt: max }: HeldTask): boolean {
  const beside = errs?.at(-1)?.beside ?? 0
  return beside > 0 && attempt + beside >= max
}

/** in: $1 worker, $2 task, $3 attempt · out: nothing where it is not the worker's · effect: whose death the next one is */
const MARK_ALONE = `
update sluice.worker w set info = jsonb_set(w.info, '{alone}', to_jsonb($2::text))
where w.id = $1::bigint and w.dead_at is null
  and exists (select from sluice.task t where t.id = $2::bigint and t.owner = $1::bigint and t.attempt = $3)
returning w.id`

/** False where the task is no longer the worker's. */
export async function markAlone(
  db: EngineDatabase,
  worker: string,
  { id, attempt }: Pick<HeldTask, 'id' | 'attempt'>,
): Promise<boolean> {
  const row = await db.queryOne(MARK_ALONE, [worker, id, attempt], {
    idempotent: true,
    timeout: STATEMENT_TIMEOUT_MS,
    label: 'sluice.alone',
  })
  return row !== undefined
}

/** One after the other, in the order of asking: for the whole process, whatever queues its suspects are of. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** `fn` must not reject. */
  take(fn: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(fn)
    this.#last = turn
    return turn
  }
}
