/** One job by its id, wherever it is: waiting, running, done with a result that is kept, or dead. */
import type { EngineDatabase } from '../../engine/database.ts'
import { inOpenLot } from '../../engine/tasks/claim-sql.ts'
import { IS_JOBS } from '../../engine/tasks/lone.ts'
import type { JobInfo } from '../api.ts'
import { checkId, columns, toInfo, type JobRow } from './rows.ts'

export const STATE = `case when t.owner is not null or ${inOpenLot('t', 't.queue')} then 'running' when t.run_at <= clock_timestamp() then 'ready' else 'scheduled' end`

/** in: $1 id · out: its row; one statement, so that a job on its way from one table to the other is seen in one of them */
const FIND = `
select ${columns(STATE, 'null::timestamptz', 'null::text')} from sluice.task t join sluice.queue q on q.id = t.queue where t.id = $1 and ${IS_JOBS}
union all
select ${columns(`'dead'`, 't.died', 't.why')} from sluice.dead t join sluice.queue q on q.id = t.queue where t.id = $1 and ${IS_JOBS}
union all
select t.id::text, q.name, t.name, 'done', t.attempt, t.attempt, null, null, null, t.finished, t.made, null, null, null, null,
  t.result, null, null
from sluice.done t join sluice.queue q on q.id = t.queue where t.id = $1 and t.until > clock_timestamp()`

export async function findJob(db: EngineDatabase, id: string): Promise<JobInfo | undefined> {
  const row = await db.queryOne<JobRow>(FIND, [checkId(id)], { idempotent: true, label: 'sluice.find' })
  return row === undefined ? undefined : toInfo(row)
}
