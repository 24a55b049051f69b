/**
 * Whether the engine's tables are there, and are those that this process began with. Where they are gone, everything waits for
 * them and goes on when they are back. Where they were made anew (a schema that was dropped, a dump that was restored over
 * it), ids of queues, topics and subscriptions that this process knows may be those of others: it takes no more work,
 * stores none, and says so until it is started again.
 */
import { SluiceError } from '../core/errors.ts'
import type { EngineDatabase } from './database.ts'

/** out: which tables these are; null without any */
const TABLES = `select to_regclass('sluice.meta')::oid::text as tables`

export class Tables {
  readonly #db: EngineDatabase
  #own: string | undefined
  #refusal: SluiceError | undefined

  constructor(db: EngineDatabase) {
    this.#db = db
  }

  /** Undefined before `remember`. */
  get own(): string | undefined {
    return this.#own
  }

  /** These are the tables from now on. */
  async remember(): Promise<void> {
    this.#own = await this.#find(undefined)
  }

  /** Throws SLUICE_UNAVAILABLE where they are gone, SLUICE_CONFLICT where they are others. */
  async check(signal?: AbortSignal): Promise<void> {
    const found = await this.#find(signal)
    const component = this.#db.name
    if (found === undefined) {
      throw new SluiceError(
        'SLUICE_UNAVAILABLE',
        `${component}: the tables of sluice are gone from the database`,
        {
          component,
          retryable: true,
          hint: 'Was the schema "sluice" dropped, or is a backup being restored? Nothing is lost in this process: it goes on when they are back.',
        },
      )
    }
    this.#refusal = found === this.#own ? undefined : madeAnew(component)
    this.refuse()
  }

  /** Throws SLUICE_CONFLICT where the last check found others. */
  refuse(): void {
    if (this.#refusal !== undefined) throw this.#refusal
  }

  async #find(signal: AbortSignal | undefined): Promise<string | undefined> {
    const call = { idempotent: true, label: 'sluice.check', ...(signal === undefined ? {} : { signal }) }
    const row = await this.#db.queryOne<{ tables: string | null }>(TABLES, [], call)
    return row?.tables ?? undefined
  }
}

export function madeAnew(component: string): SluiceError {
  return new SluiceError(
    'SLUICE_CONFLICT',
    `${component}: the tables of sluice were made anew since this process began: it does nothing more with them`,
    {
      component,
      hint: 'Start the process again: after a restore, or when the schema was dropped and made again.',
    },
  )
}
