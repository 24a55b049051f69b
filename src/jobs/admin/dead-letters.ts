/** Dead letters: shown, put back, dropped. */
import { checkOptionNames } from '../../config/known-options.ts'
import { invalidArgument, SluiceError } from '../../core/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import { redriveByCanaries, type PutBack } from '../../engine/tasks/canaries.ts'
import type { DeadLetter, DeadLetterFilter, Redriven, RedriveOptions } from '../api.ts'
import { IS_JOBS } from '../../engine/tasks/lone.ts'
import { sweepTopic } from '../keyed-source.ts'
import { checkId, columns, toDeadLetter, type JobRow } from './rows.ts'

const MAX_LIMIT = 10_000
const DEFAULT_LIMIT = 100
const DEFAULT_CANARY = 20
const FILTER = ['job', 'ids', 'before', 'limit'] as const

/** The filter as parameters $1 to $3: name of the job, ids, died before; null for none. What events leave there is no job. */
const MATCHES = `${IS_JOBS}
  and ($1::text is null or coalesce(t.name, q.name) = $1) and ($2::bigint[] is null or t.id = any($2))
  and ($3::timestamptz is null or t.died < $3)`

/** in: the filter, $4 limit · out: rows, the youngest first */
const LIST = `
select ${columns(`'dead'`, 't.died', 't.why')}
from sluice.dead t join sluice.queue q on q.id = t.queue where ${MATCHES} order by t.died desc, t.id desc limit $4`

const GET = `
select ${columns(`'dead'`, 't.died', 't.why')}
from sluice.dead t join sluice.queue q on q.id = t.queue where t.id = $1 and ${IS_JOBS}`

/** in: the filter, $4 limit */
const COUNT = `
select count(*)::int as count from (
  select from sluice.dead t join sluice.queue q on q.id = t.queue where ${MATCHES} limit $4) x`

/** in: the filter, $4 limit · out: ids · effect: they are gone */
const DROP = `
delete from sluice.dead where id = any(array(
  select t.id from sluice.dead t join sluice.queue q on q.id = t.queue where ${MATCHES} order by t.died, t.id limit $4))
returning id`

/**
 * in: the filter, $4 limit, $5 ids to leave out
 * out: id and queue of each, whether it has a key, and when that was
 * effect: ready again under their own ids with fresh attempts, their errors kept; one whose unique name is taken stays
 */
const REDRIVE = `
with p as materialized (
  select t.* from sluice.dead t join sluice.queue q on q.id = t.queue
  where ${MATCHES} and t.id <> all($5::bigint[]) order by t.died, t.id limit $4 for update of t skip locked),
i as (
  insert into sluice.task (id, queue, prio, shard, attempt, max_attempt, run_at, made, name, key, uniq, grp, body, head, errs, xid)
  overriding system value
  select id, queue, prio, shard, 0, max_attempt, clock_timestamp(), made, name, key, uniq, grp, body, head, errs,
    case when key is not null then pg_current_xact_id() end from p
  on conflict do nothing returning id, queue, key is not null as keyed),
d as (delete from sluice.dead t using i where t.id = i.id)
select id, queue, keyed, statement_timestamp()::text as at from i`

interface PutBackJob extends PutBack {
  readonly queue: number
  readonly keyed: boolean
}

export async function listDead(engine: Engine, filter: DeadLetterFilter): Promise<readonly DeadLetter[]> {
  checkOptionNames('deadLetters.list', filter, FILTER)
  const rows = await engine.db.query<JobRow>(LIST, [...matching(filter), limitOf(filter)], {
    idempotent: true,
    label: 'sluice.deadLetters',
  })
  return rows.map(toDeadLetter)
}

export async function getDead(engine: Engine, id: string): Promise<DeadLetter | undefined> {
  const row = await engine.db.queryOne<JobRow>(GET, [checkId(id)], {
    idempotent: true,
    label: 'sluice.deadLetter',
  })
  return row === undefined ? undefined : toDeadLetter(row)
}

export async function dropDead(engine: Engine, filter: DeadLetterFilter): Promise<number> {
  const { job, ids, before } = filter
  checkOptionNames('deadLetters.drop', filter, FILTER)
  if (job === undefined && ids === undefined && before === undefined) {
    throw new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      'deadLetters.drop: expected job, ids or before, got none',
      {
        hint: 'What is dropped is gone. To drop all there are, pass { before: new Date() }.',
      },
    )
  }
  const rows = await engine.db.query(DROP, [...matching(filter), limitOf(filter)], {
    idempotent: false,
    label: 'sluice.dropDead',
  })
  return rows.length
}

/** The canaries first, and the rest when at most half of them failed again. Until the signal aborts they are waited for. */
export async function redriveDead(
  engine: Engine,
  options: RedriveOptions,
  signal: AbortSignal,
): Promise<Redriven> {
  checkOptionNames('deadLetters.redrive', options, [...FILTER, 'canary'])
  const limit = limitOf(options)
  const canary = options.canary ?? DEFAULT_CANARY
  if (!Number.isSafeInteger(canary) || canary < 0) {
    throw invalidArgument('deadLetters.redrive: canary', 'a whole number of at least 0', canary)
  }
  const redrive = {
    limit,
    canary,
    putBack: (most: number, without: readonly string[]) => putBack(engine, options, most, without),
  }
  const answer = await redriveByCanaries(engine, redrive, signal)
  const row = await engine.db.queryOne<{ count: number }>(COUNT, [...matching(options), MAX_LIMIT], {
    idempotent: true,
    label: 'sluice.deadLetters',
  })
  return { ...answer, left: row?.count ?? 0 }
}

async function putBack(
  engine: Engine,
  filter: DeadLetterFilter,
  limit: number,
  without: readonly string[],
): Promise<readonly PutBackJob[]> {
  const rows = await engine.db.query<PutBackJob>(REDRIVE, [...matching(filter), limit, without], {
    idempotent: false,
    label: 'sluice.redrive',
  })
  for (const queue of new Set(rows.map((row) => row.queue))) {
    if (rows.some((row) => row.queue === queue && row.keyed)) engine.wake.signal(sweepTopic(queue))
    engine.wake.signal(`q${queue}`)
  }
  return rows
}

function matching({ job, ids, before }: DeadLetterFilter): readonly unknown[] {
  if (before !== undefined && (!(before instanceof Date) || Number.isNaN(before.getTime()))) {
    throw invalidArgument('deadLetters: before', 'a valid Date', String(before))
  }
  return [job ?? null, ids?.map(checkId) ?? null, before ?? null]
}

function limitOf({ limit = DEFAULT_LIMIT }: DeadLetterFilter): number {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw invalidArgument('deadLetters: limit', `a whole number from 1 to ${MAX_LIMIT}`, limit)
}
