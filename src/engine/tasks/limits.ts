/**
 * Limits over all processes: how many tasks of a queue run at once, and how many start in a window of time. Permits are
 * taken before tasks are claimed, each by one statement on one row, which others wait for and then see as it is.
 *
 * - **Running**: a row holds what each worker runs. A worker writes its own figure as it stands, so that a lost answer
 *   is put right by the next one, and the figures of the dead do not count.
 * - **Rate**: a row holds the starts of the last window in slots. In no window of that length, wherever it begins, are
 *   there more than the limit; for that, the slot in which it begins is counted as a whole (3 % of the window).
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { FREE_AFTER_SILENCE_MS } from '../worker/timing.ts'

const CALL = { timeout: STATEMENT_TIMEOUT_MS, idempotent: false } as const
/** Slots of a window; one more is counted. */
const SLOTS = 32
const COUNTED = SLOTS + 1

/**
 * in: $1 queue, $2 worker, $3 how many it runs, $4 how many more it wants, $5 limit
 * out: granted; woken: others were refused since the last one ended, and none was wanted now
 *
 * A worker whose row this statement cannot see is dead only if it is older than the one that asks: a younger one may have
 * come while this statement waited for the row.
 */
export const GATE = `
insert into sluice.gate as g (queue, held, granted, waiting)
values ($1, jsonb_build_object($2::text, $3::int + least($4::int, greatest($5::int - $3, 0))),
  least($4, greatest($5 - $3, 0)), $4 > greatest($5 - $3, 0))
on conflict (queue) do update set (held, granted, waiting, woken) = (
  select o.held || case when $3 + n.more > 0 then jsonb_build_object($2::text, $3 + n.more) else '{}' end, n.more,
    $4 > n.more or (g.waiting and $4 > 0), g.waiting and $4 = 0
  from (
    select coalesce(jsonb_object_agg(e.key, e.value), '{}') as held, coalesce(sum(e.value::int), 0) as used
    from jsonb_each(g.held) e left join sluice.worker w on w.id = e.key::bigint
    where e.key <> $2::text and case when w.id is null then e.key::bigint > $2::bigint
      else w.dead_at is null or w.dead_at > clock_timestamp() - interval '${FREE_AFTER_SILENCE_MS} ms' end) o,
    lateral (select least($4, greatest($5 - $3 - o.used, 0))::int as more) n)
returning granted, woken`

export interface GateAnswer {
  readonly granted: number
  readonly woken: boolean
}

export async function passGate(
  db: EngineDatabase,
  queue: number,
  worker: string,
  ask: { readonly held: number; readonly want: number; readonly limit: number },
): Promise<GateAnswer> {
  const row = await db.queryOne<GateAnswer>(GATE, [queue, worker, ask.held, ask.want, ask.limit], {
    ...CALL,
    label: 'sluice.limit.gate',
  })
  // An upsert answers with its row.
  return row!
}

/**
 * in: $1 queue, $2 keys, $3 how many each wants, $4 limit, $5 width of a slot in ms
 * out: for each key what is granted, and its slots
 *
 * The counts begin anew, as if all had been just now, where the width is not what it was.
 */
export const TAKE_RATE = `
insert into sluice.rate as r (queue, key, width, slot, counts, granted, until)
select $1, k.key, $5::float8, s.slot, array_fill(0, array[${SLOTS}]) || least(k.want, $4::int), least(k.want, $4),
  clock_timestamp() + $5 * ${COUNTED} * interval '1 ms'
from unnest($2::text[], $3::int[]) as k(key, want),
  (select floor(extract(epoch from clock_timestamp()) * 1000 / $5)::bigint as slot) s
order by k.key
on conflict (queue, key) do update set (width, slot, counts, granted, until) = (
  select excluded.width, c.slot, c.counts[1:${SLOTS}] || c.counts[${COUNTED}] + c.more, c.more, excluded.until
  from (
    select b.slot, b.counts,
      least(excluded.granted, greatest($4 - (select sum(v) from unnest(b.counts) v), 0))::int as more
    from (
      select case when r.width = excluded.width then greatest(r.slot, excluded.slot) else excluded.slot end as slot,
        case when r.width = excluded.width then r.counts[m.n + 1:${COUNTED}] || array_fill(0, array[m.n])
        else array_fill(0, array[${SLOTS}]) || (select sum(v)::int from unnest(r.counts) v) end as counts
      from (select least(greatest(excluded.slot - r.slot, 0), ${COUNTED})::int as n) m) b) c)
returning key, granted, slot::float8 as slot, counts, extract(epoch from clock_timestamp())::float8 * 1000 as now`

/** in: $1 queue, $2 key, $3 slot, $4 how many · effect: starts of that slot that were none are given back */
export const GIVE_RATE = `
update sluice.rate set counts[${COUNTED} - (slot - $3::bigint)::int] =
  greatest(counts[${COUNTED} - (slot - $3::bigint)::int] - $4::int, 0)
where queue = $1 and key = $2 and slot - $3::bigint between 0 and ${SLOTS}`

export interface RateLimit {
  readonly limit: number
  readonly perMs: number
}

export interface RateAnswer {
  readonly key: string
  readonly granted: number
  readonly slot: number
  /** Milliseconds until there may be another one. */
  readonly dueIn: number
}

interface RateRow extends Omit<RateAnswer, 'dueIn'> {
  readonly counts: readonly number[]
  readonly now: number
}

/** `wants`: how many of each key, each key once; the key of a rate of a whole queue is ''. */
export async function takeRate(
  db: EngineDatabase,
  queue: number,
  wants: ReadonlyMap<string, number>,
  { limit, perMs }: RateLimit,
): Promise<ReadonlyMap<string, RateAnswer>> {
  const width = perMs / SLOTS
  const rows = await db.query<RateRow>(
    TAKE_RATE,
    [queue, [...wants.keys()], [...wants.values()], limit, width],
    { ...CALL, label: 'sluice.limit.rate' },
  )
  return new Map(rows.map((row) => [row.key, { ...row, dueIn: dueIn(row, width) }]))
}

export async function giveRate(
  db: EngineDatabase,
  queue: number,
  key: string,
  slot: number,
  count: number,
): Promise<void> {
  await db.execute(GIVE_RATE, [queue, key, slot, count], { ...CALL, label: 'sluice.limit.give' })
}

/** in: $1 limit · effect: counts that are over are forgotten */
export const DROP_RATES = `
delete from sluice.rate where (queue, key) in (
  select queue, key from sluice.rate where until < clock_timestamp() limit $1 for update skip locked)`

/** Until the oldest slot that counts something is out of the window. */
function dueIn({ counts, slot, now }: RateRow, width: number): number {
  const oldest = counts.findIndex((count) => count > 0)
  return Math.max(1, Math.ceil((slot + oldest + 1) * width - now))
}
