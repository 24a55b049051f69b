/**
 * How many connections handlers with a transaction may hold at once, beside how many there are. Where that is all of them,
 * claims, ends of other jobs and what a handler asks outside of its transaction wait for one until they are over: told
 * once, with what helps.
 */
import { directSettings, type DirectSettings } from '../components/postgres/direct.ts'
import type { EngineDatabase } from '../engine/database.ts'
import type { Logger } from '../telemetry/log.ts'

export class ConnectionShare {
  readonly #db: EngineDatabase
  readonly #log: Logger
  readonly #held = new Map<object, number>()
  #isTold = false

  constructor(db: EngineDatabase, log: Logger) {
    this.#db = db
    this.#log = log
  }

  /** A handler with a transaction begins to run, so often at once. */
  add(handler: object, concurrency: number): void {
    this.#held.set(handler, concurrency)
    if (this.#isTold) return
    const held = [...this.#held.values()].reduce((sum, each) => sum + each, 0)
    const settings = this.#settings()
    if (settings === undefined || held < settings.maxOpenConns) return
    const { component, maxOpenConns } = settings
    this.#isTold = true
    this.#log.warn(
      { database: component, maxOpenConns, transactions: held },
      `jobs with a transaction may hold all ${maxOpenConns} connections of "${component}", and what else needs one waits: ` +
        `lower their concurrency (${held} together), or raise max_open_conns above it`,
    )
  }

  remove(handler: object): void {
    this.#held.delete(handler)
  }

  /** Undefined while the database is not connected: advice is no reason not to begin. */
  #settings(): DirectSettings | undefined {
    try {
      return directSettings(this.#db)
    } catch {
      return undefined
    }
  }
}
