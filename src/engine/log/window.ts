/**
 * Windows of the log: what became visible between two ticks, in the order of ids, in pages.
 *
 * Any two ticks make a window. A reader whose tick is far back takes the furthest that is within 5,000 ids, so that
 * ticks of a quiet time are passed in one step, and at least the next one: a window is as large as the largest
 * transaction in it, and is read in pages.
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'

/** How far a reader has read: everything visible in `tick`, and of the window up to `till` all ids up to `pos`. */
export interface Position {
  readonly tick: string
  /** Null where it has read nothing of the next window. */
  readonly till: string | null
  readonly pos: string
}

export interface EventRow {
  readonly id: string
  readonly topic: number
  readonly version: number
  /** Milliseconds since 1970 by the database's clock. */
  readonly at: number
  readonly key: string | null
  readonly head: string | null
  readonly body: string | null
}

export interface Page {
  readonly from: Position
  /** The window's end. */
  readonly till: string
  /** Position behind the page. */
  readonly to: Position
  readonly rows: readonly EventRow[]
}

/** Ids that a window may span, where there are ticks in between. */
const SPAN = 5_000
/** Rows of a page. */
export const PAGE = 5_000
/** Bytes of the bodies of a page, but for a single one of more. */
export const PAGE_BYTES = 8_388_608
/** A character of a string takes three bytes at most. */
const BYTES_PER_CHARACTER = 3

/** Ticks that are thinned out are nobody's choice, but for the one at which a reader wants to end. */
const CHOICE = `(t.thinned is null or t.n = $2) and ($2::bigint is null or t.n <= $2)`

/**
 * in: $1 tick, $2 the last tick that may be taken; null for any
 * out: n of the tick at the window's end, the newest topic; no row where there is no later tick
 *
 * The newest topic is read when that tick is committed already, thus after every transaction that is visible in it.
 */
const NEXT = `
with a as materialized (select n, hi from sluice.tick where n = $1)
select n::text as till, (select coalesce(max(id), 0) from sluice.topic) as "newestTopic" from (
  (select t.n from sluice.tick t, a where t.n > a.n and t.hi <= a.hi + ${SPAN} and ${CHOICE} order by t.n desc limit 1)
  union all (select t.n from sluice.tick t, a where t.n > a.n and ${CHOICE} order by t.n limit 1)) b limit 1`

/** The end of the window that begins at `tick`, and the highest id of a topic that may have events in it. */
export async function nextWindow(
  db: EngineDatabase,
  tick: string,
  last: string | null = null,
): Promise<{ readonly till: string; readonly newestTopic: number } | undefined> {
  return db.queryOne(NEXT, [tick, last], {
    label: 'sluice.window.next',
    idempotent: true,
    timeout: STATEMENT_TIMEOUT_MS,
  })
}

/**
 * in: $1 topics, $2 tick, $3 till; null for the window that is next, $4 ids above
 * out: no row where there is no later tick; else one of the window's end (id: its tick, topic: the newest topic, version: 1
 *   where it is the newest tick; at is null), and events that are visible in it and not in the first tick, by id
 *
 * Two index ranges a topic: transactions that began after the first snapshot, and those that it saw under way. The newest
 * topic is read when the tick at the end is committed already, thus after every transaction that is visible in it.
 *
 * What is given is read from `p`, where the planner does not see it: it took the cost of its guesses for a reason to plan
 * anew at each call, the same plan in half a millisecond, where the reading itself takes a fifth of one.
 */
const READ = `
with p as materialized (select $1::int[] as topics, $2::bigint as tick, $3::bigint as till, $4::bigint as pos),
a as materialized (select n, hi, snap from sluice.tick where n = (select tick from p)),
b as materialized (select n, hi, snap from (
  (select n, hi, snap from sluice.tick where n = (select till from p))
  union all (select t.n, t.hi, t.snap from sluice.tick t, a
    where (select till from p) is null and t.n > a.n and t.hi <= a.hi + ${SPAN} and t.thinned is null order by t.n desc limit 1)
  union all (select t.n, t.hi, t.snap from sluice.tick t, a
    where (select till from p) is null and t.n > a.n and t.thinned is null order by t.n limit 1)) b limit 1),
s as materialized (select p.topics, p.pos, (select snap from a) as a, (select snap from b) as b, (select hi from b) as hi from p)
select n as id, (select coalesce(max(id), 0) from sluice.topic) as topic, null as key, null as head, null as body,
  case when n = (select max(n) from sluice.tick) then 1 else 0 end as version, null::float8 as at from b
union all (select id, topic, key, head, body, version, extract(epoch from at)::float8 * 1000 as at from (
select *, sum(octet_length(body)) over (order by id rows between unbounded preceding and 1 preceding) as before from (
  select * from sluice.event where topic = any((select topics from s)::int[]) and xid >= (select pg_snapshot_xmax(a) from s)
    and xid < (select pg_snapshot_xmax(b) from s) and pg_visible_in_snapshot(xid, (select b from s))
    and id > (select pos from s) and id <= (select hi from s)
  union all
  select * from sluice.event where topic = any((select topics from s)::int[])
    and xid = any(array(select x from s, pg_snapshot_xip(s.a) x where pg_visible_in_snapshot(x, s.b)))
    and id > (select pos from s) and id <= (select hi from s)
  order by id limit ${PAGE}) e) p
where before is null or before < ${PAGE_BYTES} order by id)`

type FoundRow = Omit<EventRow, 'at'> & { readonly at: number | null }

/** What is behind a position. */
export interface Behind {
  readonly page: Page
  /** The highest id of a topic that may have events in its window. */
  readonly newestTopic: number
  /** Its window ends at the newest tick. */
  readonly isNewest: boolean
}

/** The statement that reads on from `from`, of whose rows `behind` makes the answer. */
export function readStatement(
  topics: readonly number[],
  { tick, till, pos }: Position,
): { readonly sql: string; readonly params: readonly unknown[] } {
  return { sql: READ, params: [topics, tick, till, pos] }
}

/** Undefined where there is no later tick. */
export function behind(from: Position, answer: readonly object[]): Behind | undefined {
  const found = answer as readonly FoundRow[]
  const place = found.findIndex(({ at }) => at === null)
  const end = found[place]
  if (end === undefined) return undefined
  const rows = found.toSpliced(place, 1) as EventRow[]
  const till = end.id
  const last = isCut(rows) ? rows.at(-1) : undefined
  const to =
    last === undefined ? { tick: till, till: null, pos: '0' } : { tick: from.tick, till, pos: last.id }
  return { page: { from, till, to, rows }, newestTopic: end.topic, isNewest: end.version === 1 }
}

/** Reads on from `from`, in its window or in the next one. */
export async function readBehind(
  db: EngineDatabase,
  topics: readonly number[],
  from: Position,
): Promise<Behind | undefined> {
  const { sql, params } = readStatement(topics, from)
  return behind(from, await db.query(sql, params, { label: 'sluice.window', idempotent: true }))
}

/** Reads on from `from`, whose window ends at `till`. */
export async function readPage(
  db: EngineDatabase,
  topics: readonly number[],
  from: Position,
  till: string,
): Promise<Page> {
  const found = await readBehind(db, topics, { ...from, till })
  return found?.page ?? { from, till, to: { tick: till, till: null, pos: '0' }, rows: [] }
}

/** May there be more of the window? An empty page more costs little. */
function isCut(rows: readonly EventRow[]): boolean {
  if (rows.length >= PAGE) return true
  let characters = 0
  for (const { body } of rows) characters += body?.length ?? 0
  return characters >= PAGE_BYTES / BYTES_PER_CHARACTER
}
