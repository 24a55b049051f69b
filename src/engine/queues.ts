/** Queues by name: each has a row, made on first use, and an id that never changes, so it is asked for once. */
import type { EngineDatabase, Queryable } from './database.ts'

/** Names kept in memory; a program that makes up queue names per call asks the database for the rest. */
const MAX_KEPT = 10_000

export class Queues {
  readonly #db: EngineDatabase
  readonly #ids = new Map<string, Promise<number>>()
  readonly #names = new Map<number, string>()
  readonly #known = new Map<string, number>()

  constructor(db: EngineDatabase) {
    this.#db = db
  }

  /** The id of the queue, made in a transaction of its own where it is new. Rejects as the database does. */
  id(name: string): Promise<number> {
    const known = this.#ids.get(name)
    if (known !== undefined) return known
    const asked = this.#make(name)
    if (this.#ids.size < MAX_KEPT) {
      this.#ids.set(name, asked)
      asked.catch(() => this.#ids.delete(name))
    }
    return asked
  }

  /** The id, where this process has asked for the queue before. */
  known(name: string): number | undefined {
    return this.#known.get(name)
  }

  /** The name, where this process has asked for the queue before. */
  name(id: number): string | undefined {
    return this.#names.get(id)
  }

  async #make(name: string): Promise<number> {
    const found = (await this.#find(this.#db, name)) ?? (await this.#insert(name))
    if (this.#names.size < MAX_KEPT) {
      this.#names.set(found, name)
      this.#known.set(name, found)
    }
    return found
  }

  async #find(db: Queryable, name: string): Promise<number | undefined> {
    const row = await db.queryOne<{ id: number }>('select id from sluice.queue where name = $1', [name])
    return row?.id
  }

  async #insert(name: string): Promise<number> {
    await this.#db.execute('insert into sluice.queue (name) values ($1) on conflict (name) do nothing', [
      name,
    ])
    const id = await this.#find(this.#db, name)
    // Rows of queues are never deleted.
    return id!
  }
}
