/**
 * The oldest transaction that is open in this database: until it ends PostgreSQL clears away nothing that was done since.
 *
 * When a transaction of another role began is shown to members of pg_read_all_stats only; that it holds the horizon is
 * shown to all. For the others the age counts from when the same horizon was first seen here, and is a lower bound.
 */
import type { Clock } from '../core/clock.ts'
import type { EngineDatabase } from './database.ts'

export interface Horizon {
  /** 0 where no transaction is open. */
  readonly ageMs: number
  /** Of its process, and what that calls itself; null for a prepared transaction. */
  readonly pid: number | null
  readonly app: string | null
}

const NONE: Horizon = { ageMs: 0, pid: null, app: null }

/** out: none or one row: xmin, its age in ms or null where that is not shown, pid, app */
export const HORIZON = `
select xmin::text as xmin, (extract(epoch from clock_timestamp() - since) * 1000)::float8 as "ageMs", pid, app from (
  select backend_xmin as xmin, xact_start as since, pid, application_name as app from pg_stat_activity
  where backend_xmin is not null and pid <> pg_backend_pid() and datname is not distinct from current_database()
  union all
  select transaction, prepared, null, gid from pg_prepared_xacts where database = current_database()) o
order by age(xmin) desc limit 1`

interface Row extends Omit<Horizon, 'ageMs'> {
  readonly xmin: string
  readonly ageMs: number | null
}

export class HorizonWatch {
  readonly #clock: Pick<Clock, 'monotonic'>
  #seen: { readonly xmin: string; readonly at: number } | undefined

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  async read(
    db: EngineDatabase,
    call: { readonly label: string; readonly timeout: string; readonly idempotent: boolean },
  ): Promise<Horizon> {
    const row = await db.queryOne<Row>(HORIZON, [], call)
    const now = this.#clock.monotonic()
    if (row === undefined) {
      this.#seen = undefined
      return NONE
    }
    if (this.#seen?.xmin !== row.xmin) this.#seen = { xmin: row.xmin, at: now }
    const { pid, app, ageMs } = row
    return { pid, app, ageMs: Math.max(0, ageMs ?? now - this.#seen.at) }
  }
}
