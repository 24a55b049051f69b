/** What the subscriptions of a process want to know again and again, asked for all of them at once. */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { readersOf, readsOf } from './reads.ts'

/**
 * in: $1 queues
 * out: those with tasks without keys, and milliseconds until the first is due
 */
const DUE = `
select q.id as queue, min(greatest(0, extract(epoch from t.run_at - clock_timestamp()) * 1000))::float8 as ms
from unnest($1::int[]) q(id) cross join generate_series(0, 9) p(prio)
cross join lateral (
  select run_at from sluice.task where queue = q.id and prio = p.prio::smallint and owner is null and key is null
  order by run_at limit 1) t
group by q.id`

/** Milliseconds until the first task of each queue is due; queues without tasks are left out. */
export async function dueTasks(
  db: EngineDatabase,
  queues: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const rows = await db.query<{ queue: number; ms: number }>(DUE, [queues], {
    label: 'sluice.due',
    idempotent: true,
    timeout: STATEMENT_TIMEOUT_MS,
  })
  return new Map(rows.map(({ queue, ms }) => [queue, ms]))
}

export interface SubscriptionState {
  readonly id: number
  readonly paused: boolean
  /** What it reads, and the number of that. */
  readonly patterns: readonly string[]
  readonly reads: number
  /** Patterns of each other program that is alive and has it. */
  readonly others: readonly (readonly string[])[]
  /** Replays that are not over. */
  readonly replays: readonly number[]
}

/** in: $1 ids, $2 worker, $3 component that ask · out: what is asked of each */
const STATES = `
select s.id, s.paused_at is not null as paused, s.patterns, ${readsOf('s')} as reads,
  ${readersOf('s', 'w.id is not distinct from $2::bigint and c.component = $3')} as others,
  array(select r.id from sluice.replay r where r.sub = s.id and r.finished is null order by r.id) as replays
from sluice.sub s where s.id = any($1::int[])`

export function subscriptionStates(
  db: EngineDatabase,
  ids: readonly number[],
  self: { readonly worker: string | undefined; readonly component: string },
): Promise<readonly SubscriptionState[]> {
  return db.query(STATES, [ids, self.worker ?? null, self.component], {
    label: 'sluice.sub.states',
    idempotent: true,
    timeout: STATEMENT_TIMEOUT_MS,
  })
}
