/**
 * What a subscription reads: its patterns, and a number that grows with each change of them. Whoever moves a cursor says
 * by which number it reads, so that a program that does not know of a new topic moves nothing over its events.
 *
 * Each process writes down in its row of sluice.worker what it subscribes to; that of a dead one counts no longer.
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import type { Stand } from './waiting.ts'

/** The number, as SQL. */
export const readsOf = (sub: string): string => `coalesce((${sub}.opts ->> 'reads')::int, 0)`

const CALL = { idempotent: true, timeout: STATEMENT_TIMEOUT_MS } as const

export interface Announced {
  /** Patterns by name of the subscription. */
  readonly reads: Readonly<Record<string, readonly string[]>>
  /** Shards that stand in front of an event. */
  readonly stands: readonly Stand[]
}

/**
 * in: $1 worker, $2 component, $3 patterns by name, $4 where it stands
 * effect: all may read what the process subscribes to, and what it does not get on with
 */
const ANNOUNCE = `
update sluice.worker set info = info || jsonb_build_object(
  'events', coalesce(info -> 'events', '{}') || jsonb_build_object($2::text, $3::jsonb),
  'stands', coalesce(info -> 'stands', '{}') || jsonb_build_object($2::text,
    jsonb_build_object('at', clock_timestamp(), 'list', $4::jsonb)))
where id = $1::bigint`

export async function announceReaders(
  db: EngineDatabase,
  worker: string,
  component: string,
  { reads, stands }: Announced,
): Promise<void> {
  const values = [worker, component, JSON.stringify(reads), JSON.stringify(stands)]
  await db.execute(ANNOUNCE, values, { ...CALL, label: 'sluice.sub.announce' })
}

/** `sub`: what rows of sluice.sub are called there · SQL: a jsonb array of the patterns of each live program, but for one. */
export const readersOf = (sub: string, but = 'false'): string => `
  coalesce((select jsonb_agg(c.subs -> ${sub}.name) from sluice.worker w
    cross join lateral jsonb_each(coalesce(w.info -> 'events', '{}')) c(component, subs)
    where w.dead_at is null and c.subs ? ${sub}.name and not (${but})), '[]')`

/** What the subscription reads; undefined where there is none. */
export async function patternsOf(db: EngineDatabase, id: number): Promise<readonly string[] | undefined> {
  const row = await db.queryOne<{ patterns: readonly string[] }>(
    'select patterns from sluice.sub where id = $1',
    [id],
    { ...CALL, label: 'sluice.sub.patterns' },
  )
  return row?.patterns
}

/** in: $1 subscription, $2 number it had, $3 patterns · effect: it reads these from now on, where the number is still that */
const CHANGE = `
update sluice.sub s set patterns = $3::text[], opts = opts || jsonb_build_object('reads', $2::int + 1)
where id = $1 and ${readsOf('s')} = $2::int`

/** False where somebody else was quicker. */
export async function changeReads(
  db: EngineDatabase,
  id: number,
  reads: number,
  patterns: readonly string[],
): Promise<boolean> {
  const changed = await db.execute(CHANGE, [id, reads, patterns], {
    ...CALL,
    idempotent: false,
    label: 'sluice.sub.change',
  })
  return changed > 0
}
