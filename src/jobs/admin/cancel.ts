/**
 * Cancelling: the row is deleted, whether the job waits or runs. Who runs it hears of it by a hint, or within a second by
 * looking, and aborts its signal; what it then answers changes nothing, and its transaction is undone, for the row that
 * its end would delete is not there.
 */
import type { Engine } from '../../engine/engine.ts'
import { inOpenLot } from '../../engine/tasks/claim-sql.ts'
import { IS_JOBS } from '../../engine/tasks/lone.ts'
import { cancelTopic } from '../run/queue-runner.ts'
import { checkId } from './rows.ts'

/** in: $1 id · out: queue of the job, whether it runs · effect: it is gone; what is no job stays, such as an event that waits */
const CANCEL = `
delete from sluice.task t using sluice.queue q where t.id = $1 and q.id = t.queue and ${IS_JOBS}
returning t.queue, t.owner is not null or ${inOpenLot('t', 't.queue')} as running`

/** in: $1 group, $2 limit · out: as above */
const CANCEL_GROUP = `
delete from sluice.task where id = any(array(select id from sluice.task where grp = $1 order by id limit $2))
returning queue, owner is not null or ${inOpenLot('task', 'task.queue')} as running`

const GROUP_STEP = 5_000

interface Cancelled {
  readonly queue: number
  readonly running: boolean
}

export async function cancelJob(engine: Engine, id: string): Promise<boolean> {
  const rows = await engine.db.query<Cancelled>(CANCEL, [checkId(id)], {
    idempotent: false,
    label: 'sluice.cancel',
  })
  hint(engine, rows)
  return rows.length > 0
}

/** In steps, so that a large group does not hold its locks for long; a group that grows meanwhile is followed. */
export async function cancelGroup(engine: Engine, group: string, signal: AbortSignal): Promise<number> {
  let count = 0
  for (;;) {
    signal.throwIfAborted()
    const rows = await engine.db.query<Cancelled>(CANCEL_GROUP, [group, GROUP_STEP], {
      idempotent: false,
      label: 'sluice.cancelGroup',
    })
    hint(engine, rows)
    count += rows.length
    if (rows.length < GROUP_STEP) return count
  }
}

/** Runs of it end; what waited behind it under its key, or for its unique name, may go on. */
function hint(engine: Engine, rows: readonly Cancelled[]): void {
  for (const queue of new Set(rows.map((row) => row.queue))) {
    engine.wake.signal(`q${queue}`)
    if (rows.some((row) => row.running && row.queue === queue)) engine.wake.signal(cancelTopic(queue))
  }
}
