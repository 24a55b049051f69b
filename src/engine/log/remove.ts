/** Takes a subscription out of the database: its place in the log, its retries, its dead letters, its replays. */
import type { EngineDatabase } from '../database.ts'
import { readersOf } from './reads.ts'

export interface Removal {
  readonly retrying: number
  readonly dead: number
}

const FIND = `select s.id, s.queue, jsonb_array_length(${readersOf('s')}) as processes from sluice.sub s where s.name = $1 for update`

/** The rows, but for its queue's: processes may remember the id of that. */
const REST = [
  `delete from sluice.lease where (kind = 's' and ref = $1) or (kind = 'r' and ref in (select id from sluice.replay where sub = $1))`,
  `delete from sluice.contender where (kind = 's' and ref = $1) or (kind = 'r' and ref in (select id from sluice.replay where sub = $1))`,
  'delete from sluice.replay where sub = $1',
  'delete from sluice.sub where id = $1',
] as const

/** How many processes have it, where there are any: then nothing is done. Undefined where there is no such subscription. */
export function removeSubscription(
  db: EngineDatabase,
  name: string,
  signal: AbortSignal,
): Promise<Removal | { readonly processes: number } | undefined> {
  return db.transaction(
    async (tx) => {
      const row = await tx.queryOne<{ id: number; queue: number; processes: number }>(FIND, [name])
      if (row === undefined) return undefined
      if (row.processes > 0) return { processes: row.processes }
      const retrying = await tx.execute('delete from sluice.task where queue = $1', [row.queue])
      const dead = await tx.execute('delete from sluice.dead where queue = $1', [row.queue])
      for (const statement of REST) await tx.execute(statement, [row.id])
      await tx.execute('update sluice.queue set paused_at = null, paused_why = null where id = $1', [
        row.queue,
      ])
      return { retrying, dead }
    },
    { label: 'sluice.sub.remove', timeout: '60s', signal },
  )
}
