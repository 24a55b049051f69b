/** What people ask about the log: topics, and how far subscriptions are behind. */
import type { EngineDatabase } from '../database.ts'
import { readersOf } from './reads.ts'

export interface TopicFacts {
  readonly id: number
  readonly name: string
  readonly made: number
  readonly last: number | null
}

const TOPICS = `
select t.id, t.name, extract(epoch from t.made)::float8 * 1000 as made,
  (select extract(epoch from e.at)::float8 * 1000 from sluice.event e where e.topic = t.id order by e.xid desc, e.id desc limit 1) as last
from sluice.topic t order by t.name limit 10000`

export function topicFacts(db: EngineDatabase): Promise<readonly TopicFacts[]> {
  return db.query<TopicFacts>(TOPICS, [], { label: 'sluice.topics.list', idempotent: true })
}

export interface SubscriptionFacts {
  readonly id: number
  readonly name: string
  readonly patterns: readonly string[]
  readonly queue: number
  readonly missed: string
  readonly paused: boolean
  readonly why: string | null
  readonly retrying: number
  readonly parkedKeys: number
  readonly dead: number
  /** Milliseconds since a cursor of its moved last. */
  readonly idleMs: number
  /** Live programs that subscribe to it. */
  readonly processes: number
}

const SUBSCRIPTIONS = `
select s.id, s.name, s.patterns, s.queue, s.missed::text, s.paused_at is not null as paused, s.paused_why as why,
  (select count(*)::int from sluice.task t where t.queue = s.queue) as retrying,
  (select count(distinct t.key)::int from sluice.task t where t.queue = s.queue and t.key is not null) as "parkedKeys",
  (select count(*)::int from sluice.dead d where d.queue = s.queue) as dead,
  coalesce((select extract(epoch from clock_timestamp() - max(l.moved)) * 1000 from sluice.lease l
    where l.kind = 's' and l.ref = s.id), 0)::float8 as "idleMs",
  jsonb_array_length(${readersOf('s')}) as processes
from sluice.sub s order by s.name limit 1000`

export function subscriptionFacts(db: EngineDatabase): Promise<readonly SubscriptionFacts[]> {
  return db.query<SubscriptionFacts>(SUBSCRIPTIONS, [], { label: 'sluice.subs', idempotent: true })
}

/** Events that are counted, at most. */
export const COUNTED = 10_000

/**
 * in: $1 subscription, $2 its topics
 * out: events that its slowest shard has not read, and the age of the oldest in milliseconds
 *
 * What a shard has read of the window that it is in is left out.
 */
const BEHIND = `
with c as materialized (
  select l.pos, a.snap as a, b.snap as b from sluice.lease l join sluice.tick a on a.n = l.tick left join sluice.tick b on b.n = l.till
  where l.kind = 's' and l.ref = $1 order by l.tick, l.till nulls first, l.pos limit 1)
select count(*)::int as events,
  coalesce(extract(epoch from clock_timestamp() - min(at)) * 1000, 0)::float8 as "oldestMs" from (
  select e.at from c, sluice.event e where e.topic = any($2::int[]) and e.xid >= pg_snapshot_xmin(c.a)
    and not pg_visible_in_snapshot(e.xid, c.a)
    and not (c.b is not null and e.id <= c.pos and pg_visible_in_snapshot(e.xid, c.b))
  limit ${COUNTED}) e`

export async function eventsBehind(
  db: EngineDatabase,
  subscription: number,
  topics: readonly number[],
): Promise<{ readonly events: number; readonly oldestMs: number }> {
  const row = await db.queryOne<{ events: number; oldestMs: number }>(BEHIND, [subscription, topics], {
    label: 'sluice.behind',
    idempotent: true,
  })
  return row ?? { events: 0, oldestMs: 0 }
}

/** in: $1 name, $2 reason · effect: nothing of it is delivered any more, nor tried again · out: its id, if it is there */
const PAUSE = `
with s as (update sluice.sub set paused_at = coalesce(paused_at, clock_timestamp()), paused_why = $2 where name = $1 returning id, queue),
q as (update sluice.queue set paused_at = coalesce(paused_at, clock_timestamp()), paused_why = $2 where id = (select queue from s))
select id from s`

const RESUME = `
with s as (update sluice.sub set paused_at = null, paused_why = null where name = $1 returning id, queue),
q as (update sluice.queue set paused_at = null, paused_why = null where id = (select queue from s))
select id from s`

/** False where there is no such subscription. */
export async function pauseSubscription(
  db: EngineDatabase,
  name: string,
  reason: string | null,
): Promise<boolean> {
  const row = await db.queryOne(PAUSE, [name, reason], { label: 'sluice.sub.pause', idempotent: true })
  return row !== undefined
}

export async function resumeSubscription(db: EngineDatabase, name: string): Promise<boolean> {
  const row = await db.queryOne(RESUME, [name], { label: 'sluice.sub.resume', idempotent: true })
  return row !== undefined
}
