/** Queues as a whole: pause and resume, and what there is in each. */
import { nearest } from '../../config/nearest.ts'
import { SluiceError } from '../../core/errors.ts'
import { storedText } from '../../core/stored-text.ts'
import type { EngineDatabase } from '../../engine/database.ts'
import type { Engine } from '../../engine/engine.ts'
import { IS_JOBS } from '../../engine/tasks/lone.ts'
import type { GroupStats, QueueStats } from '../api.ts'

const MAX_REASON = 500
const IN_STATS = 'Names of queues are in stats().'

/** Claims look at the row of the queue, so that a pause holds from the next claim on. */
export async function pauseQueue(
  engine: Engine,
  queue: string,
  reason: string | undefined,
  whereNamesAre = IN_STATS,
): Promise<void> {
  const row = await engine.db.queryOne<{ id: number }>(
    `update sluice.queue q set paused_at = coalesce(paused_at, clock_timestamp()), paused_why = $2
     where name = $1 and ${IS_JOBS} returning id`,
    [queue, reason === undefined ? null : storedText(reason, MAX_REASON)],
    { idempotent: true, label: 'sluice.pause' },
  )
  if (row === undefined) throw await unknownQueue(engine.db, 'pause', queue, whereNamesAre)
  engine.wake.signal(`q${row.id}`)
}

export async function resumeQueue(engine: Engine, queue: string, whereNamesAre = IN_STATS): Promise<void> {
  const row = await engine.db.queryOne<{ id: number }>(
    `update sluice.queue q set paused_at = null, paused_why = null where name = $1 and ${IS_JOBS} returning id`,
    [queue],
    { idempotent: true, label: 'sluice.resume' },
  )
  if (row === undefined) throw await unknownQueue(engine.db, 'resume', queue, whereNamesAre)
  engine.wake.signal(`q${row.id}`)
}

/** A pause that made its queue would pause nothing where the name is mistyped, and say so to nobody. */
async function unknownQueue(
  db: EngineDatabase,
  what: string,
  queue: string,
  whereNamesAre: string,
): Promise<SluiceError> {
  const rows = await db.query<{ name: string }>(
    `select q.name from sluice.queue q where ${IS_JOBS} order by name limit 10000`,
    [],
    { idempotent: true, label: 'sluice.queues' },
  )
  const near = nearest(
    queue,
    rows.map(({ name }) => name),
  )
  const hint = near === undefined ? whereNamesAre : `Did you mean ${near}?`
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `${what}: there is no queue "${queue}"`, { hint })
}

/** out: one row a queue · effect: none. Counts walk the rows of the queues: about 0.2 s for a million. */
const STATS = `
with t as (
  select queue, count(*) filter (where not taken and run_at <= clock_timestamp()) as ready,
    count(*) filter (where not taken and run_at > clock_timestamp()) as scheduled,
    count(*) filter (where taken) as running,
    min(run_at) filter (where not taken and run_at <= clock_timestamp()) as oldest
  from (select queue, run_at, owner is not null
      or (attempt = 0 and id in (select unnest(ids) from sluice.lot)) as taken from sluice.task) t
  group by queue),
d as (select queue, count(*) as dead from sluice.dead group by queue)
select q.name, coalesce(t.ready, 0)::float8 as ready, coalesce(t.scheduled, 0)::float8 as scheduled,
  coalesce(t.running, 0)::float8 as running, coalesce(d.dead, 0)::float8 as dead,
  q.paused_at is not null as paused, q.paused_why as why,
  coalesce(extract(epoch from clock_timestamp() - t.oldest) * 1000, 0)::float8 as oldest
from sluice.queue q left join t on t.queue = q.id left join d on d.queue = q.id where ${IS_JOBS} order by q.name`

interface StatsRow {
  readonly name: string
  readonly ready: number
  readonly scheduled: number
  readonly running: number
  readonly dead: number
  readonly paused: boolean
  readonly why: string | null
  readonly oldest: number
}

export async function queueStats(db: EngineDatabase): Promise<readonly Omit<QueueStats, 'unknown'>[]> {
  const rows = await db.query<StatsRow>(STATS, [], { idempotent: true, label: 'sluice.stats' })
  return rows.map(({ name, ready, scheduled, running, dead, paused, why, oldest }) => ({
    name,
    ready,
    scheduled,
    running,
    dead,
    paused,
    pausedWhy: why ?? undefined,
    oldestReadyMs: Math.max(0, Math.round(oldest)),
  }))
}

const GROUP = `
select (select count(*) from sluice.task where grp = $1)::float8 as open,
  (select count(*) from sluice.dead where grp = $1)::float8 as dead`

export async function groupStats(db: EngineDatabase, group: string): Promise<GroupStats> {
  const row = await db.queryOne<{ open: number; dead: number }>(GROUP, [group], {
    idempotent: true,
    label: 'sluice.group',
  })
  return { group, open: row?.open ?? 0, dead: row?.dead ?? 0 }
}
