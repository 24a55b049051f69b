/**
 * Statements about leases of shards. A lease is a row with an owner, which is a worker's row, and an epoch, which grows
 * each time it changes hands. It is free when it has no owner, or when its owner's row has been dead for so long that no
 * statement of its can still be under way.
 *
 * Whoever writes under a lease compares both:
 *
 *     … where exists (select from sluice.lease
 *       where kind = $1 and ref = $2 and shard = $3 and owner = $4 and epoch = $5)
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { FREE_AFTER_SILENCE_MS } from '../worker/timing.ts'

/** `q`: of a keyed queue. `s`: of a subscription. `r`: of a replay. */
export type LeaseKind = 'q' | 's' | 'r'

export interface LeaseSet {
  readonly kind: LeaseKind
  /** Id of the queue or of the subscription. */
  readonly ref: number
}

export interface LeaseRow {
  readonly shard: number
  readonly epoch: string
}

export interface TakenRow extends LeaseRow {
  /** It belonged to a worker that died with it, and may have left work half done. */
  readonly orphaned: boolean
}

export interface Survey {
  /** Leases that belong to the worker. */
  readonly owned: readonly LeaseRow[]
  readonly shards: number
  readonly free: number
  /** Live workers that want a share, and the place of this one among them; null when it is none of them. */
  readonly contenders: number
  readonly rank: number | null
}

/** A contender that has not looked for this long wants nothing any more, though its process may live. */
const CONTENDER_TTL_MS = 20_000
const CALL = { timeout: STATEMENT_TIMEOUT_MS } as const

const FREE = `(l.owner is null or not exists (select from sluice.worker w where w.id = l.owner
  and (w.dead_at is null or w.dead_at > clock_timestamp() - interval '${FREE_AFTER_SILENCE_MS} ms')))`

/** in: $1 kind, $2 ref, $3 shards · effect: a row for each shard that has none */
export const ENSURE = `
insert into sluice.lease (kind, ref, shard) select $1, $2, n from generate_series(0, $3::int - 1) n
on conflict (kind, ref, shard) do nothing`

export async function ensureShards(db: EngineDatabase, set: LeaseSet, shards: number): Promise<void> {
  await db.execute(ENSURE, [set.kind, set.ref, shards], {
    ...CALL,
    idempotent: true,
    label: 'sluice.lease.ensure',
  })
}

/** in: $1 kind, $2 ref, $3 worker · effect: the worker is known to want a share; those long dead are not any more */
export const CONTEND = `
with gone as (
  delete from sluice.contender c where kind = $1 and ref = $2 and worker <> $3
    and c.seen < clock_timestamp() - interval '10 minutes')
insert into sluice.contender (kind, ref, worker) values ($1, $2, $3)
on conflict (kind, ref, worker) do update set seen = clock_timestamp()`

export async function contend(db: EngineDatabase, set: LeaseSet, worker: string): Promise<void> {
  await db.execute(CONTEND, [set.kind, set.ref, worker], {
    ...CALL,
    idempotent: true,
    label: 'sluice.lease.contend',
  })
}

/** in: $1 kind, $2 ref, $3 worker · effect: it wants no share any more */
export async function withdraw(db: EngineDatabase, set: LeaseSet, worker: string): Promise<void> {
  await db.execute(
    'delete from sluice.contender where kind = $1 and ref = $2 and worker = $3',
    [set.kind, set.ref, worker],
    { ...CALL, idempotent: true, label: 'sluice.lease.withdraw' },
  )
}

/**
 * in: $1 kind, $2 ref, $3 worker · out: one row
 *
 * Contenders are ranked by a hash with the ref, so that of many queues not always the same worker gets one shard more.
 */
export const SURVEY = `
with live as (
  select c.worker, count(*) over ()::int as n,
    row_number() over (order by hashint8extended(c.worker, $2::int::bigint), c.worker)::int - 1 as rank
  from sluice.contender c join sluice.worker w on w.id = c.worker
  where c.kind = $1 and c.ref = $2 and w.dead_at is null
    and c.seen > clock_timestamp() - interval '${CONTENDER_TTL_MS} ms')
select count(*)::int as shards, count(*) filter (where ${FREE})::int as free,
  coalesce(json_agg(json_build_object('shard', l.shard, 'epoch', l.epoch::text)) filter (where l.owner = $3), '[]') as owned,
  coalesce((select max(n) from live), 0) as contenders, (select rank from live where worker = $3) as rank
from sluice.lease l where l.kind = $1 and l.ref = $2`

export async function survey(db: EngineDatabase, set: LeaseSet, worker: string): Promise<Survey> {
  const row = await db.queryOne<Survey>(SURVEY, [set.kind, set.ref, worker], {
    ...CALL,
    idempotent: true,
    label: 'sluice.lease.survey',
  })
  // An aggregate without groups has one row.
  return row!
}

/**
 * in: $1 kind, $2 ref, $3 worker, $4 limit, $5 shards that are not to be taken
 * out: the leases that are the worker's now
 * effect: their owner and epoch. A worker whose row is dead takes nothing.
 */
export const TAKE = `
with free as materialized (
  select l.shard, l.owner from sluice.lease l
  where l.kind = $1 and l.ref = $2 and l.shard <> all($5::smallint[]) and ${FREE}
    and exists (select from sluice.worker where id = $3 and dead_at is null)
  order by l.shard limit $4 for update of l skip locked)
update sluice.lease l set owner = $3, epoch = l.epoch + 1 from free
where l.kind = $1 and l.ref = $2 and l.shard = free.shard
returning l.shard, l.epoch::text as epoch, free.owner is not null as orphaned`

export function takeShards(
  db: EngineDatabase,
  set: LeaseSet,
  worker: string,
  limit: number,
  except: readonly number[],
): Promise<TakenRow[]> {
  return db.query<TakenRow>(TAKE, [set.kind, set.ref, worker, limit, except], {
    ...CALL,
    idempotent: false,
    label: 'sluice.lease.take',
  })
}

/** in: $1 kind, $2 ref, $3 shard, $4 worker, $5 epoch · effect: free, if it was still the worker's */
export const HAND_BACK = `
update sluice.lease set owner = null where kind = $1 and ref = $2 and shard = $3 and owner = $4 and epoch = $5`

export async function handBack(
  db: EngineDatabase,
  set: LeaseSet,
  worker: string,
  row: LeaseRow,
): Promise<void> {
  await db.execute(HAND_BACK, [set.kind, set.ref, row.shard, worker, row.epoch], {
    ...CALL,
    idempotent: true,
    label: 'sluice.lease.hand-back',
  })
}
