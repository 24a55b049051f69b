/**
 * A subscription in this process: its row, its share of the shards, and retries of its deliveries that failed.
 *
 *     made by subscribe() ──start──▶ the row is there, shards are taken ──stop──▶ drained, handed back
 */
import { backoffMs } from '../core/backoff.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { ShardLeases, type ShardLease } from '../engine/leases.ts'
import type { LogInterest } from '../engine/log/reader.ts'
import { ensureSubscription } from '../engine/log/subscriptions.ts'
import { Attempts } from './attempt.ts'
import type { SubscriberHost, SubscriberParts } from './parts.ts'
import { Shard } from './shard.ts'
import type { SubscriptionSpec } from './spec.ts'

/** Between attempts to start. */
const BACKOFF = { baseMs: 200, capMs: 5_000 }

export class Subscriber {
  readonly spec: SubscriptionSpec
  readonly #host: SubscriberHost
  readonly #stopping = new AbortController()
  readonly #shards = new Set<Shard>()
  #starting: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #interest: LogInterest | undefined
  #leases: ShardLeases | undefined

  constructor(host: SubscriberHost, spec: SubscriptionSpec) {
    this.#host = host
    this.spec = spec
  }

  /** Shards that this process works on. */
  get shards(): number {
    return this.#shards.size
  }

  /** Resolves when its place in the log is known: events published from now on reach it. */
  start(): Promise<void> {
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined
      throw error
    })
    return this.#starting
  }

  /** Starts, again and again while the database is what hinders it. */
  async startInTime(): Promise<void> {
    const { engine } = this.#host
    const { signal } = this.#stopping
    for (let failures = 1; ; failures++) {
      signal.throwIfAborted()
      try {
        await this.start()
        return
      } catch (error) {
        if (hasCode(error, 'SLUICE_CONFLICT')) throw error
        engine.log.warn(
          { err: toError(error), subscription: this.spec.name },
          'a subscription could not begin, and tries again',
        )
        await engine.clock.sleep(backoffMs(failures, engine.random(), BACKOFF), { signal })
      }
    }
  }

  /** Starts nothing more and waits for what runs; when `signal` aborts, that is given up. */
  stop(signal?: AbortSignal): Promise<void> {
    this.#stopped ??= this.#stop(signal)
    return this.#stopped
  }

  async #start(): Promise<void> {
    const { engine, reader } = this.#host
    const { spec } = this
    const row = await ensureSubscription(engine, spec, this.#stopping.signal)
    const interest = await reader.open(spec.matches)
    if (this.#stopping.signal.aborted) {
      interest.close()
      this.#stopping.signal.throwIfAborted()
    }
    this.#interest = interest
    const parts: SubscriberParts = {
      ...this.#host,
      spec,
      row,
      attempts: new Attempts(spec, engine.clock, engine.log.child({ subscription: spec.name })),
      delivered: this.#host.delivered(spec.name),
    }
    this.#leases = new ShardLeases({
      engine,
      kind: 's',
      ref: row.id,
      shards: 0,
      work: (lease) => this.#work(parts, lease, interest),
    })
    await this.#leases.start()
  }

  async #work(parts: SubscriberParts, lease: ShardLease, interest: LogInterest): Promise<void> {
    const shard = new Shard(parts, lease, interest)
    this.#shards.add(shard)
    try {
      await shard.run()
    } finally {
      this.#shards.delete(shard)
    }
  }

  async #stop(signal: AbortSignal | undefined): Promise<void> {
    this.#stopping.abort(new SluiceError('SLUICE_CLOSED', `subscription "${this.spec.name}" was stopped`))
    await this.#starting?.catch((error: unknown) => {
      this.#host.engine.log.debug({ err: toError(error) }, 'a subscription was stopped before it had started')
    })
    try {
      await this.#leases?.stop(signal)
    } finally {
      this.#interest?.close()
    }
  }
}
