/**
 * This process's share of the shards of a keyed queue or of a subscription. For each shard that it holds, `work` runs
 * once; when that settles, the shard is handed back.
 *
 * - **One at a time.** A shard has one owner, and each change of hands raises its epoch. Whoever still acts for an owner
 *   before is fenced off by it, so that writes must compare owner and epoch (see leases/statements.ts).
 * - **Fair.** The live workers that want shards are dealt an equal number of them, the few that are over at random. One
 *   that holds more is asked to drain; the others take no more than what is free.
 * - **Renewed by the worker's heartbeat**: a lease is good for as long as its owner's row is alive. When that is found
 *   dead, or the row of a lease is another's, `signal` aborts; so does every lease when the worker is registered anew.
 * - **Found by polling**, once a second; hints about shards that were handed back make it quick.
 *
 * A shard whose work was lost and has not settled yet is not taken again here, so `work` must settle soon after its
 * signal aborts, whatever its handlers do. Work that throws is logged, and its shard rests for a while.
 */
import { onAbort } from '../core/abort.ts'
import { Alarm } from '../core/alarm.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { Lifecycle } from '../core/lifecycle.ts'
import type { Engine } from './engine.ts'
import { HeldLease, type ShardLease } from './leases/held.ts'
import { shardQuota } from './leases/quota.ts'
import * as sql from './leases/statements.ts'
import { levelOf } from './repeated.ts'
import type { Lease } from './worker/worker.ts'

export type { ShardLease } from './leases/held.ts'

export interface ShardLeasesOptions {
  readonly engine: Engine
  readonly kind: sql.LeaseKind
  /** Id of the queue or of the subscription. */
  readonly ref: number
  /** Rows that are made at the start where they are missing; 0 where someone else makes them. */
  readonly shards: number
  /** Works on one shard until it is drained or lost. */
  readonly work: (lease: ShardLease) => Promise<void>
}

/** Between two looks. */
const POLL_MS = 1_000
/** Between two looks that hints ask for. */
const MIN_GAP_MS = 5
/** Between two times that the worker says it wants a share; below a quarter of what it is believed for. */
const CONTEND_EVERY_MS = 5_000
/** A shard whose work threw is not taken again before. */
const REST_MS = 1_000

export class ShardLeases {
  readonly #options: ShardLeasesOptions
  readonly #set: sql.LeaseSet
  readonly #topic: string
  readonly #held = new Map<number, HeldLease>()
  readonly #resting = new Map<number, number>()
  readonly #lifecycle: Lifecycle
  readonly #alarm: Alarm
  /** Work that has settled so far. */
  #settled = 0
  #ensured = false
  #contending: { readonly worker: string; readonly at: number } | undefined
  #releases: readonly (() => void)[] = []

  constructor(options: ShardLeasesOptions) {
    const { engine, kind, ref } = options
    this.#options = options
    this.#set = { kind, ref }
    this.#alarm = new Alarm(engine.clock)
    this.#topic = leaseTopic(kind, ref)
    this.#lifecycle = new Lifecycle({
      name: `the leases ${kind}${ref}`,
      start: () => this.#start(),
      stop: () => this.#stop(),
      onError: (error, what) => engine.log.error({ err: error }, what),
    })
  }

  /** What this process holds and works on, by shard. */
  get owned(): readonly ShardLease[] {
    return [...this.#held.values()].filter(({ isWorking }) => isWorking).toSorted((a, b) => a.shard - b.shard)
  }

  /** Begins to take shards. Resolves at once; what the database refuses is tried again. */
  start(): Promise<void> {
    return this.#lifecycle.start()
  }

  /** Drains and hands back what is held. When `signal` aborts, work that still runs is told to settle at once. */
  async stop(signal?: AbortSignal): Promise<void> {
    const release = onAbort(signal, (reason) => this.#loseAll(reason))
    try {
      await this.#lifecycle.stop()
    } finally {
      release()
    }
  }

  /** Looks again soon. */
  look(): void {
    this.#alarm.ring()
  }

  #start(): void {
    const { engine } = this.#options
    this.#releases = [
      engine.wake.on(this.#topic, () => this.look()),
      engine.worker.onLease(() => this.look()),
    ]
    this.#lifecycle.spawn('shards could not be looked after any more', this.#loop(this.#lifecycle.signal))
  }

  async #stop(): Promise<void> {
    for (const release of this.#releases) release()
    for (const lease of this.#held.values()) lease.drain()
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const { engine } = this.#options
    let failures = 0
    try {
      while (!signal.aborted) {
        try {
          await this.#look(signal)
          failures = 0
        } catch (error) {
          const facts = { err: toError(error), failures: ++failures }
          engine.log[levelOf(failures)](facts, `shards of ${this.#topic} could not be looked after`)
        }
        await engine.clock.sleep(MIN_GAP_MS, { signal })
        // Until the next poll, a hint, or the stop.
        await this.#alarm.wait(POLL_MS * (0.8 + 0.4 * engine.random()), signal)
      }
    } finally {
      if (this.#contending !== undefined) await this.#withdraw(this.#contending.worker)
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { engine, shards } = this.#options
    const worker = engine.worker.lease
    if (worker === undefined) return
    if (!this.#ensured && shards > 0) await sql.ensureShards(engine.db, this.#set, shards)
    this.#ensured = true
    await this.#contend(worker.id)
    const settled = this.#settled
    const seen = await sql.survey(engine.db, this.#set, worker.id)
    if (signal.aborted || engine.worker.lease !== worker) return
    this.#dropLost(seen, worker.id)
    // What was handed back meanwhile may still be owned in what was seen.
    if (settled === this.#settled) this.#adopt(seen, worker)
    // Where it is none of them, its row is dead, or it has not looked for long: it says anew that it wants a share.
    if (seen.rank === null) this.#contending = undefined
    else await this.#balance(seen, seen.rank, worker)
  }

  async #contend(worker: string): Promise<void> {
    const { engine } = this.#options
    const isKnown = this.#contending?.worker === worker
    if (isKnown && engine.clock.monotonic() - (this.#contending?.at ?? 0) < CONTEND_EVERY_MS) return
    await sql.contend(engine.db, this.#set, worker)
    this.#contending = { worker, at: engine.clock.monotonic() }
    if (!isKnown) engine.wake.signal(this.#topic)
  }

  #dropLost(seen: sql.Survey, worker: string): void {
    for (const lease of this.#held.values()) {
      const isOurs = seen.owned.some(({ shard, epoch }) => shard === lease.shard && epoch === lease.epoch)
      if (isOurs || lease.owner !== worker) continue
      lease.lose(new SluiceError('SLUICE_LEASE_LOST', `shard ${lease.shard} was given to another worker`))
    }
  }

  /** Leases that are ours, and nobody works on: the answer to taking or to handing back them was lost. */
  #adopt(seen: sql.Survey, worker: Lease): void {
    for (const row of seen.owned) {
      if (!this.#held.has(row.shard)) this.#hold({ ...row, orphaned: true }, worker)
    }
  }

  async #balance(seen: sql.Survey, rank: number, worker: Lease): Promise<void> {
    const { engine } = this.#options
    const quota = shardQuota(seen.shards, seen.contenders, rank)
    const working = this.owned
    for (const { shard } of working.slice(quota)) this.#held.get(shard)?.drain()
    // Those that drain are still held: they count until they are handed back.
    const wanted = Math.min(quota - this.#held.size, seen.free)
    if (wanted <= 0) return
    const taken = await sql.takeShards(engine.db, this.#set, worker.id, wanted, this.#untakeable())
    for (const row of taken) this.#hold(row, worker)
  }

  /** Shards whose work has not settled since it was lost, or rests. */
  #untakeable(): readonly number[] {
    const now = this.#options.engine.clock.monotonic()
    for (const [shard, until] of this.#resting) if (until <= now) this.#resting.delete(shard)
    return [...this.#held.keys(), ...this.#resting.keys()]
  }

  #hold(row: sql.TakenRow, worker: Lease): void {
    const lease = new HeldLease(worker.id, row)
    this.#held.set(row.shard, lease)
    this.#lifecycle.spawn(
      `the work on shard ${row.shard} of ${this.#topic} failed`,
      this.#work(lease, worker),
    )
  }

  async #work(lease: HeldLease, worker: Lease): Promise<void> {
    const { engine, work } = this.#options
    const release = onAbort(worker.signal, (reason) => lease.lose(reason))
    // Taken in the moment of the stop: it is handed back at once.
    if (this.#lifecycle.signal.aborted) lease.drain()
    try {
      if (!lease.draining.aborted) await work(lease)
    } catch (error) {
      this.#resting.set(lease.shard, engine.clock.monotonic() + REST_MS)
      throw error
    } finally {
      release()
      await this.#handBack(lease)
      this.#held.delete(lease.shard)
      this.#settled++
      this.look()
    }
  }

  async #handBack(lease: HeldLease): Promise<void> {
    const { engine } = this.#options
    if (engine.worker.lease?.id !== lease.owner) return
    try {
      await sql.handBack(engine.db, this.#set, lease.owner, lease)
      engine.wake.signal(this.#topic)
    } catch (error) {
      // The next look finds it owned, and works on it again; without one it is free when the worker has left.
      engine.log.debug({ err: toError(error) }, `shard ${lease.shard} could not be handed back`)
    }
  }

  async #withdraw(worker: string): Promise<void> {
    const { engine } = this.#options
    try {
      await sql.withdraw(engine.db, this.#set, worker)
      engine.wake.signal(this.#topic)
    } catch (error) {
      engine.log.debug({ err: toError(error) }, `${this.#topic} still counts with this worker`)
    }
  }

  #loseAll(reason: unknown): void {
    for (const lease of this.#held.values()) lease.lose(reason)
  }
}

/** Topic of the hints about leases. */
export function leaseTopic(kind: sql.LeaseKind, ref: number): string {
  return `lease-${kind}${ref}`
}
