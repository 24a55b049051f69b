/**
 * Heads of lanes that the owner of their shard has no handler for. It offers them to the other workers of the queue, one
 * of which takes them over; the key waits at the owner, as it does for a task of its own, until the task is gone.
 *
 *     at home ──offer──▶ offered ──take──▶ at home, owned by the guest ──its end──▶ gone, or at home again
 *        ▲                  │
 *        └────withdraw──────┘   by the next owner of the shard, before it reads
 *
 * An offered task is found under a shard of its own, so that guests find it by the index, and has no owner. Only who
 * holds the lease of the shard offers, so that nobody but the head of a lane is ever offered.
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { HELD, SIZE_OF, withinBytes } from './claim-sql.ts'
import { KEY_SHARDS, type KeyedClaim } from './keyed.ts'
import type { HeldTask } from './task.ts'
import { UNIQ_AT_CLAIM } from './unique-name.ts'

const CALL = { timeout: STATEMENT_TIMEOUT_MS } as const
/** What the column `shard` of an offered task is. */
export const OFFERED = `between ${KEY_SHARDS} and ${2 * KEY_SHARDS - 1}`

/**
 * in: $1 queue, $2 worker, $3 ids, $4 their shards, $5 the epochs of those
 * out: ids of those that are offered now; may be sent again
 */
const OFFER = `
with c as materialized (
  select t.id, a.shard from unnest($3::bigint[], $4::smallint[], $5::bigint[]) as a(id, shard, epoch)
    join sluice.task t on t.id = a.id and t.shard in (a.shard, a.shard + ${KEY_SHARDS})
    join sluice.lease l on l.kind = 'q' and l.ref = $1 and l.shard = a.shard and l.owner = $2 and l.epoch = a.epoch
  where t.queue = $1 and t.owner is null for update of t skip locked)
update sluice.task t set shard = c.shard + ${KEY_SHARDS} from c where t.id = c.id returning t.id`

export async function offerKeyed(
  db: EngineDatabase,
  queue: number,
  worker: string,
  heads: readonly KeyedClaim[],
): Promise<Set<string>> {
  const rows = await db.query<{ id: string }>(
    OFFER,
    [
      queue,
      worker,
      heads.map(({ id }) => id),
      heads.map(({ shard }) => shard),
      heads.map(({ epoch }) => epoch),
    ],
    { ...CALL, idempotent: true, label: 'sluice.keyed.offer' },
  )
  return new Set(rows.map(({ id }) => id))
}

/**
 * in: $1 queue, $2 worker, $3 names that it handles, $4 name of tasks without one, $5 limit
 * out: the tasks, the most urgent first
 * effect: their owner and attempt; they are at home again
 */
const TAKE = `
with c as materialized (
  select t.id, t.prio, ${SIZE_OF('t')} from sluice.task t
  where t.queue = $1 and t.shard ${OFFERED} and t.key is not null and t.owner is null
    and coalesce(t.name, $4) = any($3::text[]) and t.run_at <= (select clock_timestamp())
    and exists (select from sluice.worker where id = $2 and dead_at is null)
    and not exists (select from sluice.queue where id = $1 and paused_at is not null)
  order by t.prio, t.id limit $5 for update of t skip locked)
update sluice.task t set owner = $2, attempt = t.attempt + 1, shard = t.shard - ${KEY_SHARDS}, uniq = ${UNIQ_AT_CLAIM}
where t.id = any(${withinBytes('c.prio, c.id')}) returning ${HELD}`

export async function takeOffered(
  db: EngineDatabase,
  queue: { readonly id: number; readonly name: string },
  worker: string,
  names: readonly string[],
  limit: number,
): Promise<HeldTask[]> {
  const rows = await db.query<HeldTask>(TAKE, [queue.id, worker, names, queue.name, limit], {
    ...CALL,
    idempotent: false,
    label: 'sluice.keyed.take',
  })
  return rows.toSorted((a, b) => a.prio - b.prio || Number(a.id) - Number(b.id))
}

/** in: $1 ids · out: those that are offered no longer and not with a guest: gone, or at home to be tried again */
const OVER = `
select a.id::text as id, t.attempt,
  greatest(0, extract(epoch from t.run_at - (select clock_timestamp())) * 1000)::float8 as "dueIn"
from unnest($1::bigint[]) as a(id) left join sluice.task t on t.id = a.id
where t.id is null or t.owner is null and t.shard < ${KEY_SHARDS}`

export interface OverOffer {
  readonly id: string
  /** Null: it is gone. */
  readonly attempt: number | null
  readonly dueIn: number | null
}

export function offersOver(db: EngineDatabase, ids: readonly string[]): Promise<OverOffer[]> {
  return db.query(OVER, [ids], { ...CALL, idempotent: true, label: 'sluice.keyed.over' })
}

/** in: $1 queue, $2 worker, $3 shard, $4 epoch · effect: what the owner before had offered and nobody took is at home */
const WITHDRAW = `
update sluice.task set shard = $3::smallint
where queue = $1 and shard = $3::smallint + ${KEY_SHARDS} and key is not null
  and exists (select from sluice.lease where kind = 'q' and ref = $1 and shard = $3::smallint and owner = $2 and epoch = $4)`

export async function withdrawOffers(
  db: EngineDatabase,
  queue: number,
  { owner, shard, epoch }: { readonly owner: string; readonly shard: number; readonly epoch: string },
): Promise<void> {
  await db.execute(WITHDRAW, [queue, owner, shard, epoch], {
    ...CALL,
    idempotent: true,
    label: 'sluice.keyed.withdraw',
  })
}

/** in: $1 queue, $2 worker, $3 ids · effect: its other tasks with keys are ready, the attempt not counted */
const DROP = `
update sluice.task set owner = null, attempt = attempt - 1
where queue = $1 and owner = $2 and key is not null and id <> all($3::bigint[])`

/** Gives back what it took without an answer. `ids` are those that it knows of; nothing may be claimed meanwhile. */
export function dropUnknownKeyed(
  db: EngineDatabase,
  queue: number,
  worker: string,
  ids: Iterable<string>,
): Promise<number> {
  return db.update(DROP, [queue, worker, [...ids]], { ...CALL, idempotent: false, label: 'sluice.drop' })
}
