/**
 * A quiet log: its oldest partition is not full for weeks, and is not dropped as long as it is in use. What is older than
 * the retention and a day is deleted from it row by row, a bounded number at a time.
 *
 * The day is what partitions hold of a busy log, from which nothing is deleted by rows: it would be written twice.
 */
import type { Transaction } from '../database.ts'

export const SLACK_MS = 86_400_000
/** Rows of one transaction. */
const STEP = 5_000

/** Rows by their primary key: topic, xid, id. */
export interface OldRows {
  readonly topics: readonly number[]
  readonly xids: readonly string[]
  readonly ids: readonly string[]
}

/** `partition` is a name of the catalogue's. Of each topic only the first rows are looked at, by the index. */
export async function oldRows(
  tx: Transaction,
  partition: string,
  retentionMs: number,
): Promise<OldRows | undefined> {
  const row = await tx.queryOne<{ topics: number[] | null; xids: string[]; ids: string[] }>(
    `select array_agg(e.topic) as topics, array_agg(e.xid::text) as xids, array_agg(e.id::text) as ids from (
       select e.* from sluice.topic t cross join lateral (
         select topic, xid, id, at from sluice.${partition} where topic = t.id order by xid, id limit ${STEP}) e
       where e.at < clock_timestamp() - $1::float8 * interval '1 ms' limit ${STEP}) e`,
    [retentionMs + SLACK_MS],
  )
  // An aggregate without rows is null.
  const topics = row?.topics ?? undefined
  return row === undefined || topics === undefined ? undefined : { topics, xids: row.xids, ids: row.ids }
}

/** SQL of the rows, as `g`. */
export const rowsAt = (first: number): string =>
  `unnest($${first}::int[], $${first + 1}::text[], $${first + 2}::bigint[]) as g(topic, xid, id)`

export async function deleteRows(
  tx: Transaction,
  partition: string,
  { topics, xids, ids }: OldRows,
): Promise<number> {
  return tx.execute(
    `delete from sluice.${partition} e using ${rowsAt(1)} where e.topic = g.topic and e.xid = g.xid::xid8 and e.id = g.id`,
    [topics, xids, ids],
  )
}
