/**
 * Who in this process holds tasks of a queue. Several may: two components of one kind on one database share its worker,
 * so that the database cannot tell whose a task is. What a claim took whose answer was lost is given back by comparing
 * what the worker owns with what is known of, and that has to be known of all of them; and while any of them claims,
 * there may be more than they know.
 */
import type { EngineDatabase } from '../database.ts'
import { dropUnknown } from './lots.ts'
import type { Lot } from './task.ts'

export interface Holder {
  readonly lots: () => Iterable<Lot>
  readonly ids: () => Iterable<string>
}

export class QueueHolders {
  readonly #queue: number
  readonly #all = new Set<Holder>()
  #claims = 0
  #dropping: Promise<number> | undefined

  constructor(queue: number) {
    this.#queue = queue
  }

  /** The answer ends that. */
  join(holder: Holder): () => void {
    this.#all.add(holder)
    return () => void this.#all.delete(holder)
  }

  /** `take` resolves when its holder knows of what it took. */
  async claim<T>(take: () => Promise<T>): Promise<T> {
    while (this.#dropping !== undefined) await this.#dropping.catch(() => {})
    this.#claims++
    try {
      return await take()
    } finally {
      this.#claims--
    }
  }

  /** Gives back what none of them knows of; how many. Undefined while one of them claims. */
  async drop(db: EngineDatabase, worker: string): Promise<number | undefined> {
    if (this.#claims > 0) return undefined
    this.#dropping ??= this.#drop(db, worker).finally(() => (this.#dropping = undefined))
    return this.#dropping
  }

  #drop(db: EngineDatabase, worker: string): Promise<number> {
    const lots = [...this.#all].flatMap((each) => [...each.lots()])
    const ids = [...this.#all].flatMap((each) => [...each.ids()])
    return dropUnknown(db, this.#queue, worker, lots, ids)
  }
}

export class Holders {
  readonly #queues = new Map<number, QueueHolders>()

  of(queue: number): QueueHolders {
    let holders = this.#queues.get(queue)
    if (holders === undefined) this.#queues.set(queue, (holders = new QueueHolders(queue)))
    return holders
  }
}
