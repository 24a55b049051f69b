/** Puts events into the log: one statement for a batch, inside or outside of a transaction. */
import type { Queryable } from '../database.ts'

/** One event as it is stored. Keys are those of the JSON that the statement reads. */
export interface NewEvent {
  readonly topic: number
  readonly version: number
  readonly key?: string | undefined
  /** JSON of headers and trace context. */
  readonly head?: string | undefined
  /** JSON of the data. */
  readonly body: string
}

/** A larger batch is sent in chunks, so that no statement is of any size. */
const CHUNK = 5_000

/**
 * in: $1 json array of events
 * out: their ids, in the order of the array
 * effect: rows of sluice.event
 *
 * The materialised CTE takes the transaction id before the sequence hands out an id: what a tick knows about the ids
 * of a transaction depends on that order.
 */
export const PUBLISH = `
with x as materialized (select pg_current_xact_id() as xid)
insert into sluice.event (xid, topic, version, key, head, body)
select x.xid, e.topic, e.version, e.key, e.head, e.body
from x, json_to_recordset($1::json) as e(topic int, version smallint, key text, head text, body text)
returning id`

/** The ids in the order of the events. All of them or none only inside a transaction, or up to 5,000. */
export async function publishEvents(db: Queryable, events: readonly NewEvent[]): Promise<readonly string[]> {
  const ids: string[] = []
  for (let from = 0; from < events.length; from += CHUNK) {
    const rows = await db.query<{ id: string }>(PUBLISH, [JSON.stringify(events.slice(from, from + CHUNK))], {
      label: 'sluice.publish',
      idempotent: false,
    })
    for (const { id } of rows) ids.push(id)
  }
  return ids
}

/** Events that one statement takes. */
export const MAX_AT_ONCE = CHUNK
