/** Jobs that wait or run, page by page, without what they carry. */
import { checkOptionNames } from '../../config/known-options.ts'
import { invalidArgument } from '../../core/errors.ts'
import type { EngineDatabase } from '../../engine/database.ts'
import { IS_JOBS } from '../../engine/tasks/lone.ts'
import type { JobFilter, ListedJob } from '../api.ts'
import { STATE } from './find.ts'
import { checkId, columns, toInfo, type JobRow } from './rows.ts'

const MAX_LIMIT = 10_000
const STATES: readonly unknown[] = ['scheduled', 'ready', 'running', undefined]

/** in: $1 job, $2 queue, $3 state, $4 below this id, $5 limit · out: rows without their bodies, the youngest first */
const LIST = `
select ${columns(STATE, 'null::timestamptz', 'null::text').replace('t.body', 'null::text as body')}
from sluice.task t join sluice.queue q on q.id = t.queue
where ${IS_JOBS} and ($1::text is null or coalesce(t.name, q.name) = $1) and ($2::text is null or q.name = $2)
  and ($3::text is null or ${STATE} = $3) and ($4::bigint is null or t.id < $4)
order by t.id desc limit $5`

export async function listJobs(db: EngineDatabase, filter: JobFilter): Promise<readonly ListedJob[]> {
  checkOptionNames('jobs.list', filter, ['job', 'queue', 'state', 'after', 'limit'])
  const { job, queue, state, after, limit = 100 } = filter
  if (!STATES.includes(state)) throw invalidArgument('list: state', 'scheduled, ready or running', state)
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw invalidArgument('list: limit', `a whole number from 1 to ${MAX_LIMIT}`, limit)
  }
  const values = [
    job ?? null,
    queue ?? null,
    state ?? null,
    after === undefined ? null : checkId(after),
    limit,
  ]
  const rows = await db.query<JobRow>(LIST, values, { idempotent: true, label: 'sluice.list' })
  return rows.map((row) => {
    const { data: _data, result: _result, ...listed } = toInfo(row)
    return listed
  })
}
