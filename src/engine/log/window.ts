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
 * in: $1 topics, $2 tick, $3 till, $4 ids above, $5 limit
 * out: events that are visible in till and not in tick, by id
 *
 * Two index ranges a topic: transactions that began after the first snapshot, and those that it saw under way.
 */
const WINDOW = `
with s as materialized (select
  (select snap from sluice.tick where n = $2) as a, (select snap from sluice.tick where n = $3) as b,
  (select hi from sluice.tick where n = $3) as hi)
select id, topic, version, key, head, body, extract(epoch from at)::float8 * 1000 as at from (
select *, sum(octet_length(body)) over (order by id rows between unbounded preceding and 1 preceding) as before from (
  select * from sluice.event where topic = any($1::int[]) and xid >= (select pg_snapshot_xmax(a) from s)
    and xid < (select pg_snapshot_xmax(b) from s) and pg_visible_in_snapshot(xid, (select b from s))
    and id > $4 and id <= (select hi from s)
  union all
  select * from sluice.event where topic = any($1::int[])
    and xid = any(array(select x from s, pg_snapshot_xip(s.a) x where pg_visible_in_snapshot(x, s.b)))
    and id > $4 and id <= (select hi from s)
  order by id limit $5) e) p
where before is null or before < ${PAGE_BYTES} order by id`

/** Reads on from `from`, whose window ends at `till`. */
export async function readPage(
  db: EngineDatabase,
  topics: readonly number[],
  from: Position,
  till: string,
): Promise<Page> {
  const rows =
    topics.length === 0
      ? []
      : await db.query<EventRow>(WINDOW, [topics, from.tick, till, from.pos, PAGE], {
          label: 'sluice.window',
          idempotent: true,
        })
  const last = isCut(rows) ? rows.at(-1) : undefined
  const to: Position =
    last === undefined ? { tick: till, till: null, pos: '0' } : { tick: from.tick, till, pos: last.id }
  return { from, till, to, rows }
}

/** May there be more of the window? An empty page more costs little. */
function isCut(rows: readonly EventRow[]): boolean {
  if (rows.length >= PAGE) return true
  let characters = 0
  for (const { body } of rows) characters += body?.length ?? 0
  return characters >= PAGE_BYTES / BYTES_PER_CHARACTER
}
