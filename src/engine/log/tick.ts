/**
 * Ticks: stored snapshots of the database. Readers of the log read what became visible between two of them, because
 * sequence order is not commit order, and a reader that goes by ids skips what is committed late.
 *
 * A tick is written by any reader that finds something to see: new ids were handed out, or a transaction ended that
 * may hold ids handed out before. While nothing happens none is written.
 *
 * `lo` is read in a statement before the one that takes the snapshot. Every transaction that may hold an id up to `lo`
 * took its own id before, so it is below `x0`, the id of the tick's own transaction. The snapshot's xmax would be wrong
 * in its place: it is the last completed id + 1, so running transactions may lie above it and be on nobody's list; with
 * it, the last commits before a silence were never delivered in 4 of 10 rounds.
 */
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'

/** Between two ticks of one process, on average. */
export const TICK_GAP_MS = 10
/** Between two ticks of one database, at least: what comes a little early after the last one need not wait for long. */
export const LEAST_GAP_MS = 5

/**
 * Both statements in one round trip: each gets a snapshot of its own, because the function is volatile and the isolation
 * read committed, which it makes sure of. Of the schema, version 1.
 *
 * in: least age of the newest tick
 * out: `written`, `nothing`, `busy` (another process writes one, or has just done so), `isolation`
 * effect: a row of sluice.tick, or none
 */
const TICK = `select sluice.write_tick($1 * interval '1 ms') as outcome`

/** `busy`: another process writes one, or has just done so; it may have missed what was committed since. */
export type Ticked = 'written' | 'nothing' | 'busy'

/**
 * Writes a tick, and asks what is in the log, in one round trip: on one connection, so that what is read is read after
 * the commit of the tick. `rows` is undefined where that has to be asked again.
 */
export async function tickAndRead(
  db: EngineDatabase,
  question: { readonly sql: string; readonly params: readonly unknown[] },
  signal: AbortSignal,
): Promise<{ readonly ticked: Ticked; readonly rows: readonly object[] | undefined }> {
  const options = { label: 'sluice.tick', timeout: STATEMENT_TIMEOUT_MS, signal }
  const tick = { sql: TICK, params: [LEAST_GAP_MS] }
  const { values, errors } = await db.batch([tick, question], options).waitAll()
  if (errors[0] !== undefined) throw errors[0]
  const ticked = values[0]?.[0]?.['outcome'] as Ticked | 'isolation'
  if (ticked === 'isolation') return { ticked: await writeTick(db, signal), rows: undefined }
  return { ticked, rows: values[1] }
}

export async function writeTick(db: EngineDatabase, signal?: AbortSignal): Promise<Ticked> {
  const options = { label: 'sluice.tick', timeout: STATEMENT_TIMEOUT_MS, idempotent: false, signal }
  const row = await db.queryOne<{ outcome: Ticked | 'isolation' }>(TICK, [LEAST_GAP_MS], options)
  if (row !== undefined && row.outcome !== 'isolation') return row.outcome
  // The database's default is a stricter one: a transaction says what it wants.
  return db.transaction(
    async (tx) => {
      const inside = await tx.queryOne<{ outcome: Ticked }>(TICK, [LEAST_GAP_MS], { idempotent: false })
      return inside?.outcome ?? 'busy'
    },
    {
      label: 'sluice.tick',
      timeout: STATEMENT_TIMEOUT_MS,
      retries: 0,
      ...(signal === undefined ? {} : { signal }),
    },
  )
}
