/** Jobs that wait or run, for people; services have no use for such a list, and it is not in the API. */
import type { EngineDatabase } from '../../engine/database.ts'
import { inOpenLot } from '../../engine/tasks/claim-sql.ts'
import { IS_JOBS } from '../../engine/tasks/lone.ts'
import { columns, toInfo, type JobRow } from '../../jobs/admin/rows.ts'
import type { JobInfo } from '../../jobs/api.ts'

export interface JobFilter {
  readonly job: string | null
  readonly state: string | null
  readonly limit: number
}

const STATE = `case when t.owner is not null or ${inOpenLot('t', 't.queue')} then 'running' when t.run_at <= clock_timestamp() then 'ready' else 'scheduled' end`

/** in: $1 name of the job, $2 state, $3 limit · out: rows without their bodies, the youngest first */
const LIST = `
select ${columns(STATE, 'null::timestamptz', 'null::text').replace('t.body', 'null::text as body')}
from sluice.task t join sluice.queue q on q.id = t.queue
where ($1::text is null or coalesce(t.name, q.name) = $1) and ($2::text is null or ${STATE} = $2) and ${IS_JOBS}
order by t.id desc limit $3`

/** in: $1 job, $2 ids, $3 died before, $4 limit · out: how many dead letters of jobs that is */
const COUNT_DEAD = `
select count(*)::int as count from (
  select from sluice.dead t join sluice.queue q on q.id = t.queue
  where ($1::text is null or coalesce(t.name, q.name) = $1) and ($2::bigint[] is null or t.id = any($2))
    and ($3::timestamptz is null or t.died < $3) and ${IS_JOBS} limit $4) x`

export async function listJobs(db: EngineDatabase, filter: JobFilter): Promise<readonly JobInfo[]> {
  const rows = await db.query<JobRow>(LIST, [filter.job, filter.state, filter.limit], {
    idempotent: true,
    label: 'sluice.list',
  })
  return rows.map(toInfo)
}

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
