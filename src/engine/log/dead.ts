/** Deliveries that used up their attempts: kept with what was published and the error of each attempt. */
import type { EngineDatabase, Queryable } from '../database.ts'
import type { PutBack } from '../tasks/canaries.ts'
import type { TaskError } from '../tasks/task.ts'

export interface DeadDelivery {
  readonly id: string
  readonly subscription: string
  readonly topic: string
  readonly attempt: number
  readonly key: string | null
  readonly body: string | null
  readonly head: string | null
  readonly errs: readonly TaskError[] | null
  readonly why: string
  readonly died: number
}

export interface DeadFilter {
  readonly subscription: string | null
  readonly ids: readonly string[] | null
  readonly before: Date | null
  readonly limit: number
}

/** `order`: of those that match, which come first. `more`: another condition. */
const chosen = (order: string, more = ''): string => `
select d.id from sluice.dead d join sluice.sub s on s.queue = d.queue
where ($1::text is null or s.name = $1) and ($2::bigint[] is null or d.id = any($2)) and ($3::timestamptz is null or d.died < $3) ${more}
order by ${order} limit $4`

const OLDEST = chosen('d.died, d.id')

const parameters = ({ subscription, ids, before, limit }: DeadFilter): readonly unknown[] => [
  subscription,
  ids,
  before,
  limit,
]

/** The youngest first. */
export function listDead(db: EngineDatabase, filter: DeadFilter): Promise<readonly DeadDelivery[]> {
  return db.query<DeadDelivery>(
    `select d.id, s.name as subscription, d.name as topic, d.attempt, d.key, d.body, d.head, d.errs, d.why,
       extract(epoch from d.died)::float8 * 1000 as died
     from sluice.dead d join sluice.sub s on s.queue = d.queue
     where d.id in (${chosen('d.died desc, d.id desc')}) order by d.died desc, d.id desc`,
    parameters(filter),
    { label: 'sluice.dead.list', idempotent: true },
  )
}

/**
 * in: the filter, $4 limit, $5 ids to leave out
 * out: id and queue of each as a task, and when that was
 * effect: tasks with fresh attempts; one that is a task again already stays dead. Those of a key that is kept in order
 * go behind what waits of it.
 */
const REDRIVE = `
with c as materialized (
  select * from sluice.dead where id in (${chosen('d.died, d.id', 'and d.id <> all($5::bigint[])')}) and not exists (
    select from sluice.task t where t.queue = dead.queue and t.uniq = dead.uniq and t.uniq is not null)
  order by id for update skip locked),
i as (
  insert into sluice.task (queue, name, prio, shard, attempt, max_attempt, made, xid, key, uniq, grp, body, head, errs)
  select queue, name, prio, shard, 0, greatest(max_attempt, 1), made, case when key is not null then pg_current_xact_id() end,
    key, uniq, grp, body, head, errs from c order by id
  on conflict (queue, uniq) where uniq is not null do nothing returning id, queue, uniq),
d as (delete from sluice.dead x using c where x.id = c.id and exists (select from i where i.queue = c.queue and i.uniq is not distinct from c.uniq) returning x.queue)
select id, queue, statement_timestamp()::text as at from i`

export function redriveDead(
  db: Queryable,
  filter: DeadFilter,
  without: readonly string[],
): Promise<readonly (PutBack & { readonly queue: number })[]> {
  return db.query(REDRIVE, [...parameters(filter), without], {
    label: 'sluice.dead.redrive',
    idempotent: false,
  })
}

export function dropDead(db: EngineDatabase, filter: DeadFilter): Promise<number> {
  return db.execute(`delete from sluice.dead where id in (${OLDEST})`, parameters(filter), {
    label: 'sluice.dead.drop',
    idempotent: false,
  })
}
