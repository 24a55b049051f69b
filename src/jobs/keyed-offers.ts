/**
 * Heads of lanes that this process has no handler for: it offers them to the others, and lets their keys wait until they
 * are gone, or are to be tried again. See engine/tasks/keyed-offers.ts.
 */
import { offerKeyed, offersOver } from '../engine/tasks/keyed-offers.ts'
import type { Lease } from '../engine/worker/worker.ts'
import { READ_EVERY_MS } from './keyed-reader.ts'
import type { KeyedShard, Picked } from './keyed-shard.ts'
import type { SourceHost } from './source.ts'

/** Ids of one statement. */
const CHUNK = 5_000
/** Looks that hints ask for take this part of the time at most. */
const MAX_SHARE = 0.1

export class KeyedOffers {
  readonly #host: SourceHost
  readonly #offered = new Map<string, KeyedShard>()
  /** A guest may have ended one. */
  #isStale = false
  #lookedAt = -Infinity
  #lookMs = 0

  constructor(host: SourceHost) {
    this.#host = host
  }

  /** Milliseconds until the next look; undefined where nothing is offered. */
  get dueIn(): number | undefined {
    if (this.#offered.size === 0) return undefined
    const every = this.#isStale ? this.#lookMs / MAX_SHARE : READ_EVERY_MS
    return Math.max(0, this.#lookedAt + every - this.#host.engine.clock.monotonic())
  }

  /** A guest has ended something. */
  hint(): void {
    this.#isStale = true
  }

  /** Those that could not be offered. Where it rejects, all of them are in their lanes again. */
  async offer(lease: Lease, heads: readonly Picked[]): Promise<readonly Picked[]> {
    const { engine, queueId, queueName } = this.#host
    let offered: ReadonlySet<string>
    try {
      offered = await offerKeyed(
        engine.db,
        queueId,
        lease.id,
        heads.map(({ task }) => task),
      )
    } catch (error) {
      // Where the statement did its work all the same, the next one says so.
      for (const { shard, task } of heads) shard.defer(task)
      throw error
    }
    const counts = new Map<string, number>()
    for (const { shard, task } of heads) {
      if (!offered.has(task.id)) continue
      if (shard.isOpen) this.#offered.set(task.id, shard)
      else shard.putBack(task.id, task.attempt, 0)
      const name = task.name ?? queueName
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    for (const [name, count] of counts) this.#host.left(name, count)
    if (counts.size > 0) engine.wake.signal(offerTopic(queueId))
    return heads.filter(({ task }) => !offered.has(task.id))
  }

  /** Lets the keys go on whose task a guest has ended, or cannot end. */
  async look(): Promise<void> {
    if (this.dueIn !== 0) return
    const { engine } = this.#host
    const begun = engine.clock.monotonic()
    this.#isStale = false
    this.#lookedAt = begun
    const ids = [...this.#offered.keys()]
    for (let at = 0; at < ids.length; at += CHUNK) {
      for (const { id, attempt, dueIn } of await offersOver(engine.db, ids.slice(at, at + CHUNK))) {
        const shard = this.#offered.get(id)
        this.#offered.delete(id)
        if (attempt === null) shard?.remove(id)
        // As one that was tried, so that it keeps its place.
        else shard?.putBack(id, Math.max(1, attempt), dueIn ?? 0)
      }
    }
    this.#lookMs = engine.clock.monotonic() - begun
  }

  /** The shard is given up: whoever has it next withdraws what is offered. */
  forget(shard: KeyedShard): void {
    for (const [id, its] of this.#offered) {
      if (its !== shard) continue
      this.#offered.delete(id)
      shard.putBack(id, 1, 0)
    }
  }

  reset(): void {
    this.#offered.clear()
  }
}

/** Topic of the hint that tasks are offered, or that a guest has ended some. */
export function offerTopic(queue: number): string {
  return `offer-q${queue}`
}
