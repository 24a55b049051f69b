/**
 * Partitions of the log: made ahead of the sequence, dropped when everything in them is older than what is kept. Whoever
 * runs it holds a lock; locks on tables are waited for briefly, and what they hinder is done the next time.
 *
 * - A partition holds about a day of ids, so that a quiet log is not kept for ever; the default one is a net.
 * - Of a quiet log, whose partition is not full after days, old rows are deleted from the oldest one (trim.ts).
 * - A partition is old when a tick that is older than the retention has seen ids beyond it.
 * - A subscription that has not read what is dropped is told how much: `missed` grows, and it goes on behind it.
 * - Old ticks are thinned: after ten minutes one a second is left, after a day one a minute. Readers choose among those
 *   that are left; the others are deleted an hour later, but for those at which a cursor still stands.
 */
import type { EngineDatabase, Transaction } from '../database.ts'
import { RETENTION_LOCK } from '../locks.ts'
import { deleteRows, oldRows, rowsAt, type OldRows } from './trim.ts'

/** Publishers wait behind whoever waits for a table. */
const LOCK_TIMEOUT = '100ms'
const MIN_IDS = 10_000
const MAX_IDS = 50_000_000
/** Two minutes in an hour. */
const HOUR_OF_MINUTES = 30
/** Batches of rows at once; the rest the next time. */
const MAX_TRIMS = 20

export interface Missed {
  readonly subscription: string
  readonly events: number
}

export interface Tended {
  readonly made: readonly string[]
  readonly dropped: readonly string[]
  /** Rows that were deleted from a partition that stays. */
  readonly trimmed: number
  readonly missed: readonly Missed[]
}

interface Partition {
  readonly name: string
  readonly from: string
  readonly to: string
}

/** Undefined where another process does it. Rejects where a table was locked for long: the next time it may not be. */
export async function tendLog(
  db: EngineDatabase,
  retentionMs: number,
  matches: (patterns: readonly string[], topic: string) => boolean,
  signal: AbortSignal,
): Promise<Tended | undefined> {
  const made = await underLock(db, signal, makeAhead)
  if (made === undefined) return undefined
  await underLock(db, signal, (tx) => thinTicks(tx, retentionMs))
  // One a transaction: it locks the whole log until it commits.
  const dropped: string[] = []
  const missed: Missed[] = []
  for (;;) {
    const drop = await underLock(db, signal, (tx) => dropOldest(tx, retentionMs, matches))
    if (drop?.name === undefined) break
    dropped.push(drop.name)
    missed.push(...drop.missed)
  }
  let trimmed = 0
  for (let i = 0; i < MAX_TRIMS; i++) {
    const trim = await underLock(db, signal, (tx) => trimOldest(tx, retentionMs, matches))
    if (trim === undefined || trim.rows === 0) break
    trimmed += trim.rows
    missed.push(...trim.missed)
  }
  return { made, dropped, trimmed, missed: summed(missed) }
}

/** Undefined where another process holds the lock. */
function underLock<T>(
  db: EngineDatabase,
  signal: AbortSignal,
  fn: (tx: Transaction) => Promise<T>,
): Promise<T | undefined> {
  return db.transaction(
    async (tx) => {
      const lock = await tx.queryOne<{ ok: boolean }>(
        `select pg_try_advisory_xact_lock(${RETENTION_LOCK}) as ok`,
      )
      if (lock?.ok !== true) return undefined
      await tx.query(`select set_config('lock_timeout', $1, true)`, [LOCK_TIMEOUT])
      return fn(tx)
    },
    { label: 'sluice.tend', retries: 0, timeout: '60s', signal },
  )
}

const PARTITIONS = `
select c.relname as name, (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''(\\d+)''\\)'))[1] as "from",
  (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''(\\d+)''\\)'))[1] as "to"
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'sluice.event'::regclass and c.relname <> 'event_rest'
order by ((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \\(''(\\d+)''\\)'))[1])::bigint`

/** out: the last id, ids of the last day, ids of the last two minutes */
const HEAD = `
with t as materialized (select hi from sluice.tick order by n desc limit 1)
select (select case when is_called then last_value else 0 end from sluice.event_id)::text as last,
  ((select hi from t) - coalesce((select max(hi) from sluice.tick where at < clock_timestamp() - interval '1 day'), 0))::text as day,
  ((select hi from t) - coalesce((select max(hi) from sluice.tick where at < clock_timestamp() - interval '2 minutes'), 0))::text as minutes`

/** Names of the partitions that were made: so many that two lie ahead of the last id. */
async function makeAhead(tx: Transaction): Promise<readonly string[]> {
  const partitions = await tx.query<Partition>(PARTITIONS)
  const head = await tx.queryOne<{ last: string; day: string; minutes: string }>(HEAD)
  const last = BigInt(head!.last)
  const ahead = partitions.filter(({ from }) => BigInt(from) > last).length
  if (ahead >= 2) return []
  const lately = Number(head!.minutes)
  const wanted = Math.min(MAX_IDS, Math.max(MIN_IDS, Number(head!.day), HOUR_OF_MINUTES * lately))
  const made: string[] = []
  // Behind the last partition. Where the ids have passed that, behind what is on its way into the net as well.
  let from = BigInt(partitions.at(-1)?.to ?? '1')
  if (from <= last) from = last + BigInt(Math.max(MIN_IDS, lately))
  for (let i = ahead; i < 2; i++) {
    const to = from + BigInt(wanted)
    const name = `event_${from}`
    // Attached, because `partition of` would lock the log against publishers.
    await tx.execute(
      `create table sluice.${name} (like sluice.event including defaults including constraints)`,
    )
    await tx.execute(
      `alter table sluice.event attach partition sluice.${name} for values from (${from}) to (${to})`,
    )
    made.push(name)
    from = to
  }
  return made
}

interface Dropped {
  readonly name: string | undefined
  readonly missed: readonly Missed[]
}

async function dropOldest(
  tx: Transaction,
  retentionMs: number,
  matches: (patterns: readonly string[], topic: string) => boolean,
): Promise<Dropped> {
  const [old] = await tx.query<{ lo: string }>(
    `select lo::text from sluice.tick where at < clock_timestamp() - $1 * interval '1 ms' order by n desc limit 1`,
    [retentionMs],
  )
  const [oldest] = await tx.query<Partition>(PARTITIONS)
  if (old === undefined || oldest === undefined || BigInt(oldest.to) > BigInt(old.lo) + 1n) {
    return { name: undefined, missed: [] }
  }
  // Nobody writes it any more; a transaction that did and is still open hinders this.
  await tx.execute(`lock table sluice.${oldest.name} in share mode`)
  const missed = await countMissed(tx, oldest.name, matches)
  await tx.execute(`drop table sluice.${oldest.name}`)
  return { name: oldest.name, missed }
}

interface Trimmed {
  readonly rows: number
  readonly missed: readonly Missed[]
}

async function trimOldest(
  tx: Transaction,
  retentionMs: number,
  matches: (patterns: readonly string[], topic: string) => boolean,
): Promise<Trimmed> {
  const [oldest] = await tx.query<Partition>(PARTITIONS)
  const rows = oldest === undefined ? undefined : await oldRows(tx, oldest.name, retentionMs)
  if (oldest === undefined || rows === undefined) return { rows: 0, missed: [] }
  const missed = await countMissed(tx, oldest.name, matches, rows)
  return { rows: await deleteRows(tx, oldest.name, rows), missed }
}

/** One line a subscription, however many batches there were. */
function summed(missed: readonly Missed[]): readonly Missed[] {
  const sums = new Map<string, number>()
  for (const { subscription, events } of missed) {
    sums.set(subscription, (sums.get(subscription) ?? 0) + events)
  }
  return [...sums].map(([subscription, events]) => ({ subscription, events }))
}

/** Events of the partition, or those rows of it, that a subscription has not read, added to what it missed. */
async function countMissed(
  tx: Transaction,
  partition: string,
  matches: (patterns: readonly string[], topic: string) => boolean,
  rows?: OldRows,
): Promise<readonly Missed[]> {
  const those =
    rows === undefined
      ? ''
      : `and exists (select from ${rowsAt(4)} where e.topic = g.topic and e.xid = g.xid::xid8 and e.id = g.id)`
  const more = rows === undefined ? [] : [rows.topics, rows.xids, rows.ids]
  const missed: Missed[] = []
  const subscriptions = await tx.query<{ id: number; name: string; patterns: string[]; shard: number }>(
    `select s.id, s.name, s.patterns, l.shard from sluice.sub s
     join lateral (select shard from sluice.lease where kind = 's' and ref = s.id order by tick limit 1) l on true`,
  )
  const topics = await tx.query<{ id: number; name: string }>('select id, name from sluice.topic')
  for (const { id, name, patterns, shard } of subscriptions) {
    const own = topics.filter((topic) => matches(patterns, topic.name)).map((topic) => topic.id)
    const row = await tx.queryOne<{ events: number }>(
      `select count(*)::int as events from sluice.lease l join sluice.tick a on a.n = l.tick
         left join sluice.tick b on b.n = l.till join sluice.${partition} e on e.topic = any($3::int[])
       where l.kind = 's' and l.ref = $1 and l.shard = $2 and not pg_visible_in_snapshot(e.xid, a.snap)
         and not (b.n is not null and e.id <= l.pos and pg_visible_in_snapshot(e.xid, b.snap)) ${those}`,
      [id, shard, own, ...more],
    )
    const events = row?.events ?? 0
    if (events === 0) continue
    await tx.execute('update sluice.sub set missed = missed + $2 where id = $1', [id, events])
    missed.push({ subscription: name, events })
  }
  return missed
}

/**
 * in: $1 retention in ms
 * effect: of ticks older than ten minutes the first of each second is left, of those older than a day the first of each
 * minute, of those older than the retention none but the very first
 */
const THIN = `
with spare as (
  select n, row_number() over (partition by date_trunc('second', at) order by n) as of_second,
    row_number() over (partition by date_trunc('minute', at) order by n) as of_minute,
    clock_timestamp() - at as age
  from sluice.tick where thinned is null and n > 0 and at < clock_timestamp() - interval '10 minutes'
    and n < (select max(n) from sluice.tick))
update sluice.tick t set thinned = clock_timestamp() from spare s where t.n = s.n and (s.of_second > 1
  or (s.age > interval '1 day' and s.of_minute > 1) or s.age > greatest($1 * interval '1 ms', interval '1 day'))`

/** effect: those that were thinned an hour ago are gone, where no cursor stands at them */
const FORGET = `
delete from sluice.tick t where thinned < clock_timestamp() - interval '1 hour'
  and not exists (select from sluice.lease l where l.tick = t.n or l.till = t.n)
  and not exists (select from sluice.replay r where r.upto = t.n and r.finished is null)`

/** effect: what came to lie in the net is as old there as elsewhere */
const SWEEP = `delete from sluice.event_rest where at < clock_timestamp() - $1 * interval '1 ms'`

async function thinTicks(tx: Transaction, retentionMs: number): Promise<void> {
  await tx.execute(THIN, [retentionMs])
  await tx.execute(FORGET)
  await tx.execute(SWEEP, [retentionMs])
}
