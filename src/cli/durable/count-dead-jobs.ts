/** How many dead letters of jobs there are, for those who are about to change all of them. */
import type { EngineDatabase } from '../../engine/database.ts'
import { IS_JOBS } from '../../engine/tasks/lone.ts'

/** in: $1 job, $2 ids, $3 died before, $4 limit · out: how many dead letters of jobs that is */
const COUNT_DEAD = `
select count(*)::int as count from (
  select from sluice.dead t join sluice.queue q on q.id = t.queue
  where ($1::text is null or coalesce(t.name, q.name) = $1) and ($2::bigint[] is null or t.id = any($2))
    and ($3::timestamptz is null or t.died < $3) and ${IS_JOBS} limit $4) x`

export async function countDeadJobs(
  db: EngineDatabase,
  filter: {
    readonly job?: string | undefined
    readonly ids?: readonly string[] | undefined
    readonly before?: Date | undefined
    readonly limit: number
  },
): Promise<number> {
  const { job, ids, before, limit } = filter
  const row = await db.queryOne<{ count: number }>(
    COUNT_DEAD,
    [job ?? null, ids ?? null, before ?? null, limit],
    { idempotent: true, label: 'sluice.countDead' },
  )
  return row?.count ?? 0
}
