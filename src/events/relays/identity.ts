/** What ids of events of this log begin with on a broker, where they must differ from those of every other log. */
import { randomBytes } from 'node:crypto'
import type { EngineDatabase } from '../../engine/database.ts'

const BYTES = 8

/** in: $1 a new one · effect: kept where there is none · out: the one that is kept */
const ENSURE = `
with made as (
  insert into sluice.meta (k, v) values ('events.source', $1) on conflict (k) do nothing returning v)
select v from made union all select v from sluice.meta where k = 'events.source' limit 1`

/** Made once for each database, and anew after a dump was restored. */
export async function sourceOf(db: EngineDatabase): Promise<string> {
  for (;;) {
    const row = await db.queryOne<{ v: string }>(ENSURE, [randomBytes(BYTES).toString('hex')], {
      label: 'sluice.events.source',
      idempotent: true,
    })
    // Another process made it at the same moment: it is there to be seen the next time.
    if (row !== undefined) return row.v
  }
}

/** The id of an event of this log, as it travels. */
export const travelId = (source: string, id: string): string => `${source}-${id}`

/** Did it set out from this log? */
export const isOwn = (source: string, id: string): boolean => id.startsWith(`${source}-`)
