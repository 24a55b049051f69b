/**
 * Replays: events of the past for one subscription again. A row says from where to where; the place in between is a
 * cursor like a subscription's, under a lease of its own, so that any process goes on when one dies.
 */
import type { EngineDatabase, Queryable } from '../database.ts'
import type { CursorOwner } from './cursor.ts'
import type { Position } from './window.ts'

export interface ReplayRow {
  readonly id: number
  readonly subscription: string
  readonly origin: string
  readonly minId: string | null
  /** Milliseconds since 1970. */
  readonly minAt: number | null
  readonly upto: string
  readonly rate: number
  readonly by: string | null
  readonly delivered: string
  readonly made: number
  readonly finished: number | null
  readonly cancelled: boolean
}

const MS = (column: string): string => `extract(epoch from ${column})::float8 * 1000`
const COLUMNS = `r.id, s.name as subscription, r.origin, r.min_id::text as "minId", ${MS('r.min_at')} as "minAt",
  r.upto::text, r.rate, r.asked_by as by, r.delivered::text, ${MS('r.made')} as made, ${MS('r.finished')} as finished,
  r.cancelled is not null as cancelled`

export interface NewReplay {
  readonly subscription: string
  readonly origin: string
  readonly minId: string | null
  readonly minAt: Date | null
  readonly rate: number
  readonly by: string | null
  /** What is newer is live. */
  readonly upto: string
}

/**
 * in: $1 subscription, $2 origin, $3 least id, $4 least time, $5 rate, $6 by, $7 last tick
 * out: the id; no row where there is no such subscription
 * effect: the replay and its cursor, at the newest tick before which nothing of it was visible
 */
const START = `
with r as (
  insert into sluice.replay (sub, origin, min_id, min_at, rate, asked_by, upto)
  select id, $2, $3::bigint, $4::timestamptz, $5, $6, $7::bigint from sluice.sub where name = $1 returning id),
l as (
  insert into sluice.lease (kind, ref, shard, tick, moved)
  select 'r', r.id, 0, coalesce(
    (select max(n) from sluice.tick where thinned is null
      and ($3::bigint is null or hi < $3::bigint) and ($4::timestamptz is null or at <= $4::timestamptz)
      and ($3::bigint is not null or $4::timestamptz is not null)),
    (select min(n) from sluice.tick where thinned is null)), clock_timestamp() from r)
select id from r`

export async function startReplay(db: EngineDatabase, replay: NewReplay): Promise<number | undefined> {
  const { subscription, origin, minId, minAt, rate, by, upto } = replay
  const row = await db.queryOne<{ id: number }>(START, [subscription, origin, minId, minAt, rate, by, upto], {
    label: 'sluice.replay.start',
    idempotent: false,
  })
  return row?.id
}

export function listReplays(
  db: EngineDatabase,
  filter: { readonly id?: number | undefined; readonly subscription?: string | undefined },
): Promise<readonly ReplayRow[]> {
  return db.query<ReplayRow>(
    `select ${COLUMNS} from sluice.replay r join sluice.sub s on s.id = r.sub
     where ($1::int is null or r.id = $1) and ($2::text is null or s.name = $2) order by r.id desc limit 1000`,
    [filter.id ?? null, filter.subscription ?? null],
    { label: 'sluice.replays', idempotent: true },
  )
}

/** False where it was over. */
export async function cancelReplay(db: EngineDatabase, id: string): Promise<boolean> {
  const count = await db.execute(
    `update sluice.replay set cancelled = clock_timestamp(), finished = clock_timestamp() where id = $1 and finished is null`,
    [id],
    { label: 'sluice.replay.cancel', idempotent: true },
  )
  return count > 0
}

export async function readReplayCursor(db: Queryable, replay: number): Promise<Position | undefined> {
  return db.queryOne<Position>(
    `select tick::text, till::text, pos::text from sluice.lease where kind = 'r' and ref = $1 and shard = 0`,
    [replay],
    { label: 'sluice.replay.read' },
  )
}

/**
 * in: $1 replay, $2 owner, $3 epoch, $4 tick, $5 till, $6 pos, $7 delivered since, $8 is it over
 * out: one row where it is still ours and not over
 */
const MOVE = `
with l as (
  update sluice.lease set tick = $4::bigint, till = $5::bigint, pos = $6::bigint, moved = clock_timestamp()
  where kind = 'r' and ref = $1 and shard = 0 and owner = $2 and epoch = $3
    and exists (select from sluice.replay where id = $1 and finished is null) returning 1)
update sluice.replay set delivered = delivered + $7, finished = case when $8 then clock_timestamp() end
where id = $1 and finished is null and exists (select from l) returning id`

/** False where it was cancelled, or is another's. */
export async function moveReplay(
  db: Queryable,
  { ref, owner, epoch }: CursorOwner,
  { tick, till, pos }: Position,
  delivered: number,
  over: boolean,
): Promise<boolean> {
  const row = await db.queryOne(MOVE, [ref, owner, epoch, tick, till, pos, delivered, over], {
    label: 'sluice.replay.move',
    idempotent: false,
  })
  return row !== undefined
}
