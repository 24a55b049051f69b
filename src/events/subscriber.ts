/**
 * A subscription in this process: its row, its share of the shards, and retries of its deliveries that failed.
 *
 *     made by subscribe() ──start──▶ the row is there, shards are taken ──stop──▶ drained, handed back
 */
import type { Inspection } from '../app/component.ts'
import { backoffMs } from '../core/backoff.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { ShardLeases, type ShardLease } from '../engine/leases.ts'
import type { LogInterest } from '../engine/log/reader.ts'
import { ensureSubscription } from '../engine/log/subscriptions.ts'
import type { SubscriptionState } from '../engine/log/watch.ts'
import { Attempts } from './attempt.ts'
import { Gate } from './gate.ts'
import type { SubscriberHost, SubscriberParts } from './parts.ts'
import { runReplay } from './replay.ts'
import { retryLoop } from './retries.ts'
import { Shard } from './shard.ts'
import type { SubscriptionSpec } from './spec.ts'
import type { TaskLoop } from './task-loop.ts'

/** Between attempts to start. */
const BACKOFF = { baseMs: 200, capMs: 5_000 }

export class Subscriber {
  readonly spec: SubscriptionSpec
  readonly #host: SubscriberHost
  readonly #stopping = new AbortController()
  readonly #shards = new Set<Shard>()
  readonly #replays = new Map<number, ShardLeases>()
  readonly #gate = new Gate()
  #starting: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #running: Running | undefined

  constructor(host: SubscriberHost, spec: SubscriptionSpec) {
    this.#host = host
    this.spec = spec
  }

  /** Shards that this process works on. */
  get shards(): number {
    return this.#shards.size
  }
  /** Undefined until it has begun. */
  get id(): number | undefined {
    return this.#running?.parts.row.id
  }
  get retries(): TaskLoop | undefined {
    return this.#running?.retries
  }
  get inspection(): Inspection {
    return {
      shards: this.#shards.size,
      retrying: this.#running?.retries.running ?? 0,
      replays: this.#replays.size,
      paused: this.#gate.isClosed,
      stillMs: Math.round(Math.max(0, ...[...this.#shards].map(({ stillMs }) => stillMs))),
    }
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
    const { engine, log } = this.#host
    const { signal } = this.#stopping
    for (let failures = 1; ; failures++) {
      signal.throwIfAborted()
      try {
        await this.start()
        return
      } catch (error) {
        if (hasCode(error, 'SLUICE_CONFLICT') || signal.aborted) throw error
        log.warn(
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

  /** What the database says is asked of it. */
  apply({ paused, replays }: SubscriptionState): void {
    const running = this.#running
    if (running === undefined || this.#stopping.signal.aborted) return
    if (this.#gate.set(paused)) {
      running.retries.paused = paused
      if (!paused) running.retries.look()
    }
    for (const id of replays) if (!this.#replays.has(id)) this.#replay(id, running)
    for (const id of this.#replays.keys()) if (!replays.includes(id)) this.#endReplay(id)
  }

  /** Restarts shards that had something to do and did nothing for `limitMs`; how many. */
  restartStalled(limitMs: number): number {
    // An attempt may take its time.
    const limit = Math.max(limitMs, 4 * this.spec.timeoutMs)
    let restarted = 0
    for (const shard of this.#shards) {
      if (shard.stillMs < limit || this.#gate.isClosed) continue
      restarted++
      const error = new SluiceError(
        'SLUICE_TIMEOUT',
        `subscription "${this.spec.name}": a shard did nothing for ${limit} ms, though it has something to do`,
      )
      this.#host.log.error({ err: error, subscription: this.spec.name }, 'a stalled shard is restarted')
      shard.restart(error)
    }
    return restarted
  }

  async #start(): Promise<void> {
    const { engine, log, reader } = this.#host
    const { spec } = this
    const row = await ensureSubscription(engine, spec, this.#stopping.signal)
    const interest = await reader.open(spec.matches)
    if (this.#stopping.signal.aborted) {
      interest.close()
      this.#stopping.signal.throwIfAborted()
    }
    const parts: SubscriberParts = {
      ...this.#host,
      spec,
      row,
      gate: this.#gate,
      attempts: new Attempts(spec, engine.clock, log.child({ subscription: spec.name })),
      delivered: this.#host.delivered(spec.name),
    }
    const leases = new ShardLeases({
      engine,
      kind: 's',
      ref: row.id,
      shards: 0,
      work: (lease) => this.#work(parts, lease, interest),
    })
    const retries = retryLoop(parts)
    this.#running = { parts, interest, leases, retries }
    await leases.start()
    retries.look()
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

  #replay(id: number, { parts, interest }: Running): void {
    const { engine, log } = this.#host
    const leases = new ShardLeases({
      engine,
      kind: 'r',
      ref: id,
      shards: 0,
      work: async (lease) => {
        await runReplay(parts, interest, id, lease)
        if (!lease.draining.aborted) this.#endReplay(id)
      },
    })
    this.#replays.set(id, leases)
    leases.start().catch((error: unknown) => {
      log.debug({ err: toError(error), replay: id }, 'a replay was over before it began')
    })
  }

  /** It is over, here or elsewhere: nobody looks for it any more. */
  #endReplay(id: number): void {
    this.#replays
      .get(id)
      ?.stop()
      .catch((error: unknown) => {
        this.#host.log.debug({ err: toError(error), replay: id }, 'a replay could not be ended')
      })
      .finally(() => this.#replays.delete(id))
  }

  async #stop(signal: AbortSignal | undefined): Promise<void> {
    this.#stopping.abort(new SluiceError('SLUICE_CLOSED', `subscription "${this.spec.name}" was stopped`))
    await this.#starting?.catch((error: unknown) => {
      this.#host.log.debug({ err: toError(error) }, 'a subscription was stopped before it had started')
    })
    const running = this.#running
    if (running === undefined) return
    try {
      const stopping = [running.leases, running.retries, ...this.#replays.values()]
      const results = await Promise.allSettled(stopping.map((each) => each.stop(signal)))
      for (const result of results) if (result.status === 'rejected') throw result.reason
    } finally {
      running.interest.close()
    }
  }
}

interface Running {
  readonly parts: SubscriberParts
  readonly interest: LogInterest
  readonly leases: ShardLeases
  readonly retries: TaskLoop
}
