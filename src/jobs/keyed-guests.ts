/**
 * Tasks with keys that other processes offer, for they have no handler of their name and this one has. They run here as
 * every task does; the owner of their shard hears of their end, and goes on with their keys.
 */
import { dropUnknownKeyed, takeOffered } from '../engine/tasks/keyed-offers.ts'
import { takeRate } from '../engine/tasks/limits.ts'
import type { HeldTask } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'
import { offerTopic } from './keyed-offers.ts'
import { READ_EVERY_MS } from './keyed-reader.ts'
import type { LimitRules } from './limits.ts'
import type { SourceHost, TaskSource } from './source.ts'

export interface KeyedGuestsOptions {
  readonly ends: Pick<TaskSource, 'release'>
  readonly rules: () => Pick<LimitRules, 'keyRate'>
}

/** A statement whose answer did not come is over by then, whatever became of it. */
const UNSURE_MS = 20_000
const DROP_EVERY_MS = 1_000

export class KeyedGuests {
  readonly #host: SourceHost
  readonly #options: KeyedGuestsOptions
  readonly #ids = new Set<string>()
  #isStale = true
  #lookedAt = -Infinity
  #unsureUntil = -Infinity
  #droppedAt = -Infinity
  #dropping: Promise<unknown> | undefined

  constructor(host: SourceHost, options: KeyedGuestsOptions) {
    this.#host = host
    this.#options = options
  }

  /** Something was offered. */
  hint(): void {
    this.#isStale = true
  }

  /** It runs here as a guest. */
  has(id: string): boolean {
    return this.#ids.has(id)
  }

  async take(lease: Lease, limit: number): Promise<readonly HeldTask[]> {
    const { engine, queueId, queueName, names } = this.#host
    const now = engine.clock.monotonic()
    if (!this.#isStale && now - this.#lookedAt < READ_EVERY_MS) return []
    this.#isStale = false
    this.#lookedAt = now
    try {
      const queue = { id: queueId, name: queueName }
      const taken = await takeOffered(engine.db, queue, lease.id, names(), limit)
      const tasks = await this.#allowed(lease, taken)
      for (const { id } of tasks) this.#ids.add(id)
      if (taken.length === limit) this.#isStale = true
      return tasks
    } catch (error) {
      this.#isStale = true
      this.#unsureUntil = now + UNSURE_MS
      throw error
    }
  }

  /**
   * What was taken by a statement whose answer was lost is this worker's, and nobody knows of it. Claims wait for it, and
   * none may be under way (`isQuiet`): what one has just claimed is not known of either.
   */
  async dropUnknown(lease: Lease, isQuiet: boolean): Promise<void> {
    const { engine, queueId, held } = this.#host
    const now = engine.clock.monotonic()
    const isDue = now <= this.#unsureUntil && now >= this.#droppedAt + DROP_EVERY_MS
    if (this.#dropping === undefined && held !== undefined && isQuiet && isDue) {
      this.#droppedAt = now
      this.#dropping = dropUnknownKeyed(engine.db, queueId, lease.id, held()).finally(
        () => (this.#dropping = undefined),
      )
    }
    await this.#dropping
  }

  /** It has come to an end here, or was given back. */
  ended(id: string): void {
    const { engine, queueId } = this.#host
    if (this.#ids.delete(id)) engine.wake.signal(offerTopic(queueId))
  }

  reset(): void {
    this.#ids.clear()
    this.#isStale = true
  }

  /** Those that the rate of their keys allows; the others go back to where they came from. */
  async #allowed(lease: Lease, tasks: readonly HeldTask[]): Promise<readonly HeldTask[]> {
    const { engine, queueId } = this.#host
    const { keyRate } = this.#options.rules()
    if (keyRate === undefined || tasks.length === 0) return tasks
    const byKey = Map.groupBy(tasks, ({ key }) => key ?? '')
    const answers = await takeRate(
      engine.db,
      queueId,
      new Map([...byKey].map(([key, its]) => [key, its.length])),
      keyRate,
    )
    const refused = [...byKey].flatMap(([key, its]) => {
      const { granted = 0, dueIn = 0 } = answers.get(key) ?? {}
      return its.slice(granted).map(({ id, attempt }) => ({ id, attempt, delay: dueIn }))
    })
    if (refused.length === 0) return tasks
    await this.#options.ends.release(engine.db, refused, lease)
    engine.wake.signal(offerTopic(queueId))
    const gone = new Set(refused.map(({ id }) => id))
    return tasks.filter(({ id }) => !gone.has(id))
  }
}
