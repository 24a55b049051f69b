/**
 * Tasks with keys, of one queue: one task of a key at a time, in the order of their enqueueing, over all processes.
 *
 * It asks for a share of the queue's shards once there is a task with a key. Each shard is read ahead into lanes
 * (keyed-reader.ts, engine/tasks/keyed-lanes.ts); the heads of lanes are claimed under the shard's lease (keyed-claims.ts),
 * and the next of a key may start when the one before is done, dead or cancelled. A failed one keeps its place until it
 * is due again.
 *
 * What has no handler here is offered to other processes (keyed-offers.ts), and what those offer is taken over where it has
 * one here (keyed-guests.ts).
 *
 * Ends are those of every task, and are handed on to `ends`; what it adds is that the lane goes on after them, in a
 * transaction of the handler's after its commit. A task that was no longer ours by then (cancelled, or its end was
 * stored before, and the answer lost) stays in its lane: the attempt to claim it finds out what became of it.
 */
import { toError } from '../core/errors.ts'
import type { Queryable, Transaction } from '../engine/database.ts'
import { ShardLeases, type ShardLease } from '../engine/leases.ts'
import type { Failed, FailedAnswer } from '../engine/tasks/finish.ts'
import { hasKeyed, KEY_SHARDS } from '../engine/tasks/keyed.ts'
import { withdrawOffers } from '../engine/tasks/keyed-offers.ts'
import type { HeldTask } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'
import { KeyedClaims } from './keyed-claims.ts'
import { KeyedGuests } from './keyed-guests.ts'
import { KeyedOffers, offerTopic } from './keyed-offers.ts'
import { KeyedReader, READ_EVERY_MS } from './keyed-reader.ts'
import { KeyedShard, PAGE, type Picked } from './keyed-shard.ts'
import type { LimitRules } from './limits.ts'
import type { DoneTask, GivenBack, SourceHost, TaskSource } from './source.ts'

export interface KeyedOptions {
  /** Where ends go: guarded by owner and attempt, as those of tasks without a key. */
  readonly ends: Pick<TaskSource, 'done' | 'fail' | 'release'>
  /** How wide lanes are (above 1 without order), and how often a task of a key may start. */
  readonly rules: () => Pick<LimitRules, 'width' | 'keyRate'>
}

/** Between two looks whether there is any task with a key, while hints come. */
const PROBE_EVERY_MS = 250
/** Of a shard, offered at once, at most. */
const MAX_OFFERS = 1_000

export class KeyedSource implements TaskSource {
  readonly #host: SourceHost
  readonly #options: KeyedOptions
  readonly #shards = new Map<number, KeyedShard>()
  /** Shard of each task that was claimed and has not ended. */
  readonly #running = new Map<string, KeyedShard>()
  readonly #releases: readonly (() => void)[]
  #leases: ShardLeases | undefined
  readonly #reader: KeyedReader
  readonly #offers: KeyedOffers
  readonly #guests: KeyedGuests
  readonly #claims: KeyedClaims
  #probedAt = -Infinity
  #turn = 0
  /** Under way: they and what `tick` does would read the same twice. */
  #claimsUnderWay = 0
  #offering: Promise<void> | undefined
  /** Names that had a handler here when lanes were sorted. */
  #handled: string | undefined
  #closing: Promise<void> | undefined

  constructor(host: SourceHost, options: KeyedOptions) {
    this.#host = host
    this.#options = options
    this.#reader = new KeyedReader(host)
    this.#offers = new KeyedOffers(host)
    this.#guests = new KeyedGuests(host, options)
    this.#claims = new KeyedClaims(host, {
      rules: options.rules,
      release: (db, tasks, lease) => options.ends.release(db, tasks, lease),
      shardsOf: (lease) => this.#shardsOf(lease),
      isGuest: (id) => this.#guests.has(id),
      onClaimed: (id, shard) => void this.#running.set(id, shard),
    })
    const { wake } = host.engine
    this.#releases = [
      wake.on(`q${host.queueId}`, () => this.#reader.hint()),
      wake.on(sweepTopic(host.queueId), () => {
        this.#reader.sweepNext()
        host.wake()
      }),
      wake.on(offerTopic(host.queueId), () => {
        this.#offers.hint()
        this.#guests.hint()
        host.wake()
      }),
    ]
  }

  async claim(lease: Lease, limit: number): Promise<readonly HeldTask[]> {
    // Whoever else hears the hint that led here has heard it by then.
    await Promise.resolve()
    await this.#offering
    if (this.#closing !== undefined || !(await this.#isActive())) return []
    await this.#guests.dropUnknown(lease, this.#claimsUnderWay === 0)
    this.#claimsUnderWay += 1
    try {
      return await this.#claimAny(lease, limit)
    } finally {
      this.#claimsUnderWay -= 1
    }
  }

  /** Where handlers have no room for a while, others are not to wait for what they can do. */
  async tick(lease: Lease): Promise<void> {
    if (this.#claimsUnderWay > 0 || this.#offering !== undefined || this.#shards.size === 0) return
    const offering = this.#readAndOffer(lease, PAGE * this.#shards.size)
    this.#offering = offering.catch(() => {}).finally(() => (this.#offering = undefined))
    await offering
  }

  async done(db: Queryable, tasks: readonly DoneTask[], lease: Lease): Promise<ReadonlySet<string>> {
    const ours = await this.#options.ends.done(db, tasks, lease)
    this.#afterCommit(db, () => {
      for (const { id, attempt } of tasks) {
        this.#end(id, (shard) => (ours.has(id) ? shard.remove(id) : shard.putBack(id, attempt, 0)))
      }
    })
    return ours
  }

  async fail(db: Queryable, tasks: readonly Failed[], lease: Lease): Promise<readonly FailedAnswer[]> {
    const answers = await this.#options.ends.fail(db, tasks, lease)
    const isDead = new Map(answers.map(({ id, dead }) => [id, dead]))
    this.#afterCommit(db, () => {
      for (const { id, attempt, delay } of tasks) {
        const dead = isDead.get(id)
        this.#end(id, (shard) => {
          if (dead === true) shard.remove(id)
          else shard.putBack(id, attempt, dead === undefined ? 0 : delay)
        })
      }
    })
    return answers
  }

  async release(db: Queryable, tasks: readonly GivenBack[], lease: Lease): Promise<ReadonlySet<string>> {
    const ours = await this.#options.ends.release(db, tasks, lease)
    this.#afterCommit(db, () => {
      for (const { id, attempt, delay } of tasks) {
        // As one that was tried, so that it keeps its place.
        this.#end(id, (shard) => shard.putBack(id, attempt, ours.has(id) ? delay : 0))
      }
    })
    return ours
  }

  nextDue(): Promise<number | undefined> {
    const now = this.#host.engine.clock.monotonic()
    if (this.#leases === undefined) {
      return Promise.resolve(
        this.#reader.isStale ? Math.max(0, this.#probedAt + PROBE_EVERY_MS - now) : undefined,
      )
    }
    const { dueIn } = this.#offers
    let next = dueIn === undefined ? undefined : now + dueIn
    for (const shard of this.#shards.values()) {
      if (shard.isBehind(1)) return Promise.resolve(0)
      const at = shard.lanes.nextDue()
      if (at !== undefined && (next === undefined || at < next)) next = at
    }
    return Promise.resolve(next === undefined ? undefined : Math.max(0, next - now))
  }

  /** Its shards are lost with it, and their leases say so; what ran under it ends nowhere. */
  reset(): void {
    this.#running.clear()
    this.#offers.reset()
    this.#guests.reset()
    this.#reader.hint()
  }

  /** Hands its shards back, also those of which something runs: a task that has an owner is not claimed by anyone. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const release of this.#releases) release()
      await this.#leases?.stop(AbortSignal.abort())
    })()
    return this.#closing
  }

  /** True once there was a task with a key: from then on it wants shards. */
  async #isActive(): Promise<boolean> {
    if (this.#leases !== undefined) return true
    const { engine, queueId } = this.#host
    const now = engine.clock.monotonic()
    const since = now - this.#probedAt
    if (since < PROBE_EVERY_MS || (!this.#reader.isStale && since < READ_EVERY_MS)) return false
    this.#probedAt = now
    this.#reader.hasLooked()
    if (!(await hasKeyed(engine.db, queueId)) || this.#closing !== undefined) return false
    this.#leases ??= new ShardLeases({
      engine,
      kind: 'q',
      ref: queueId,
      shards: KEY_SHARDS,
      work: (lease) => this.#work(lease),
    })
    await this.#leases.start()
    return true
  }

  async #work(lease: ShardLease): Promise<void> {
    const { engine, queueId, queueName, handles, wake } = this.#host
    await withdrawOffers(engine.db, queueId, lease)
    const shard = new KeyedShard(lease, engine.clock, {
      width: this.#options.rules().width,
      isForeign: (name = queueName) => !handles(name),
    })
    // What others may do elsewhere does not hold it up.
    lease.draining.addEventListener('abort', () => this.#offers.forget(shard), { once: true })
    this.#shards.set(lease.shard, shard)
    this.#reader.hint()
    wake()
    try {
      await shard.given
    } finally {
      this.#shards.delete(lease.shard)
      for (const [id, its] of this.#running) if (its === shard) this.#running.delete(id)
    }
  }

  async #claimAny(lease: Lease, limit: number): Promise<readonly HeldTask[]> {
    const own = (most: number): Promise<readonly HeldTask[]> => this.#claimOwn(lease, most)
    const guests = (most: number): Promise<readonly HeldTask[]> => this.#guests.take(lease, most)
    // By turns, so that neither those of its own shards nor those of others wait for ever.
    const [first, second] = this.#turn++ % 2 === 0 ? [guests, own] : [own, guests]
    const tasks = await first(limit)
    if (tasks.length === limit) return tasks
    try {
      return [...tasks, ...(await second(limit - tasks.length))]
    } catch (error) {
      if (tasks.length === 0) throw error
      this.#host.engine.log.debug({ err: toError(error) }, 'tasks with keys could not be claimed')
      return tasks
    }
  }

  async #claimOwn(lease: Lease, limit: number): Promise<readonly HeldTask[]> {
    await this.#readAndOffer(lease, limit)
    return this.#claims.take(lease, limit)
  }

  /** Lets keys go on whose task others have ended, reads on, and offers what has no handler here. */
  async #readAndOffer(lease: Lease, limit: number): Promise<void> {
    await this.#offers.look()
    await this.#reader.read(this.#shards, limit)
    const handled = this.#host.names().join(' ')
    if (handled !== this.#handled) for (const shard of this.#shards.values()) shard.sortAnew()
    this.#handled = handled
    const heads = this.#shardsOf(lease).flatMap((shard) =>
      shard.takeForeign(MAX_OFFERS).map((task): Picked => ({ shard, task })),
    )
    if (heads.length === 0) return
    const missed = await this.#offers.offer(lease, heads)
    if (missed.length > 0) await this.#claims.explain(lease, missed)
  }

  #shardsOf(lease: Lease): readonly KeyedShard[] {
    return [...this.#shards.values()].filter((shard) => shard.lease.owner === lease.id)
  }

  #end(id: string, end: (shard: KeyedShard) => void): void {
    const shard = this.#running.get(id)
    if (shard === undefined) return this.#guests.ended(id)
    this.#running.delete(id)
    end(shard)
    this.#host.wake()
  }

  /** Now, or when the transaction that it happened in has been committed. */
  #afterCommit(db: Queryable, fn: () => void): void {
    if ('afterCommit' in db) (db as Transaction).afterCommit(fn)
    else fn()
  }
}

/** Topic of the hint that tasks were put back under ids of before. */
export function sweepTopic(queue: number): string {
  return `sweep-q${queue}`
}
