/**
 * Topics by name: each has a row, made on first use and never deleted.
 *
 * The row is committed before the first event of the topic is written, in a statement of its own and under a lock, so
 * that ids become visible in their order. Whoever has seen a window of the log and then asks for topics above the
 * highest id that it knows therefore learns of every topic that has an event in that window.
 */
import type { EngineDatabase } from '../database.ts'
import { TOPIC_LOCK } from '../locks.ts'

export interface Topic {
  readonly id: number
  readonly name: string
}

/** in: $1 name · effect: its row; the lock is taken before the id */
const INSERT = `
with l as materialized (select pg_advisory_xact_lock(${TOPIC_LOCK}))
insert into sluice.topic (name) select $1 from l on conflict (name) do nothing`

export class Topics {
  readonly #db: EngineDatabase
  readonly #ids = new Map<string, number>()
  readonly #names = new Map<number, string>()
  readonly #asked = new Map<string, Promise<number>>()
  #newest = 0

  constructor(db: EngineDatabase) {
    this.#db = db
  }

  /** The highest id known here. */
  get newest(): number {
    return this.#newest
  }

  /** Of the topics known here, in the order of their ids. */
  get all(): readonly Topic[] {
    return [...this.#names].map(([id, name]) => ({ id, name }))
  }

  name(id: number): string | undefined {
    return this.#names.get(id)
  }

  /** The id, where it is known here. */
  known(name: string): number | undefined {
    return this.#ids.get(name)
  }

  /** The id of the topic, which is made where it is new. Callers of one name share the question. */
  id(name: string): Promise<number> {
    const known = this.#ids.get(name)
    if (known !== undefined) return Promise.resolve(known)
    let asked = this.#asked.get(name)
    if (asked === undefined) {
      asked = this.#make(name).finally(() => this.#asked.delete(name))
      this.#asked.set(name, asked)
    }
    return asked
  }

  /** Learns of topics that others made. */
  async refresh(): Promise<void> {
    const rows = await this.#db.query<Topic>(
      'select id, name from sluice.topic where id > $1 order by id',
      [this.#newest],
      { label: 'sluice.topics' },
    )
    for (const row of rows) this.#learn(row)
  }

  async #make(name: string): Promise<number> {
    await this.refresh()
    const known = this.#ids.get(name)
    if (known !== undefined) return known
    // One statement, not a transaction: the caller may hold the last connection that transactions are given.
    await this.#db.execute(INSERT, [name], { label: 'sluice.topic', idempotent: true })
    await this.refresh()
    const id = this.#ids.get(name)
    // It was committed above, and rows of topics are never deleted.
    return id!
  }

  #learn({ id, name }: Topic): void {
    this.#ids.set(name, id)
    this.#names.set(id, name)
    this.#newest = Math.max(this.#newest, id)
  }
}
