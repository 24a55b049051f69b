/**
 * Takes ready tasks of a queue for a worker, the most urgent first, then by due time. Attempts are counted here, so that
 * a task that ends its process each time ends as well.
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { FROM_THE_BEGINNING, type ClaimPosition } from './claim-position.ts'
import type { HeldTask } from './task.ts'
import { UNIQ_AT_CLAIM } from './unique-name.ts'

/**
 * in: $1 queue, $2 worker, $3 limit, $4 for each priority the due time to begin at, in milliseconds since 1970
 * out: the tasks, in no order
 * effect: their owner and attempt
 *
 * Each priority is one look into the index, which stops at the first row that is not due: delayed rows of a high
 * priority are not walked. `any(array(…))` keeps the update on the primary key whatever the planner believes.
 */
export const CLAIM = `
with c as materialized (
  select t.id from unnest($4::float8[]) with ordinality as p(low, n) cross join lateral (
    select id from sluice.task
    where queue = $1 and prio = (p.n - 1)::smallint and owner is null and key is null
      and run_at >= to_timestamp(p.low / 1000) and run_at <= (select clock_timestamp())
    order by run_at, id limit $3 for update skip locked) t
  where exists (select from sluice.worker where id = $2 and dead_at is null)
    and not exists (select from sluice.queue where id = $1 and paused_at is not null)
  limit $3)
update sluice.task t set owner = $2, attempt = t.attempt + 1, uniq = ${UNIQ_AT_CLAIM}
where t.id = any(array(select id from c))
returning t.id, t.queue, t.name, t.prio, t.attempt, t.max_attempt, t.key, t.uniq, t.grp, t.body, t.head, t.errs,
  extract(epoch from t.run_at)::float8 * 1000 as run_at, extract(epoch from t.made)::float8 * 1000 as made`

/** `position`: kept by who claims again and again, for the sake of speed. */
export async function claimTasks(
  db: EngineDatabase,
  queue: number,
  worker: string,
  limit: number,
  position?: ClaimPosition,
): Promise<HeldTask[]> {
  const look = position?.look()
  const tasks = await db.query<HeldTask>(CLAIM, [queue, worker, limit, look?.from ?? FROM_THE_BEGINNING], {
    label: 'sluice.claim',
    idempotent: false,
    timeout: STATEMENT_TIMEOUT_MS,
  })
  look?.found(tasks)
  return tasks.sort((a, b) => a.prio - b.prio || a.run_at - b.run_at || Number(a.id) - Number(b.id))
}
