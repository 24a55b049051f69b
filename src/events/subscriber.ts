/**
 * A subscription in this process: its row, its share of the shards, and retries of its deliveries that failed.
 *
 *     made by subscribe() ──start──▶ the row is there, shards are taken ──stop──▶ drained, handed back
 *                                        ▲ │ others read what it does not know
 *                                        │ ▼
 *                                     it stands by
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
import { Standing } from './standing.ts'
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
  readonly #standing: Standing
  /** Undefined while it stands by. */
  #leases: ShardLeases | undefined
  /** Leases are begun and ended one after the other. */
  #turn: Promise<void> = Promise.resolve()
  #starting: Promise<void> | undefined
  #stopped: Promise<void> | undefined
  #running: Running | undefined

  constructor(host: SubscriberHost, spec: SubscriptionSpec) {
    this.#host = host
    this.spec = spec
    this.#standing = new Standing(host, spec)
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
      ...(this.#standing.unknown.length === 0 ? {} : { standsByFor: [...this.#standing.unknown] }),
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
  async apply(state: SubscriptionState | undefined): Promise<void> {
    const running = this.#running
    if (running === undefined || state === undefined || this.#stopping.signal.aborted) return
    this.#gate.set(state.paused)
    await this.#standing.agree(state)
    if (this.#stopping.signal.aborted) return
    const isAtWork = this.#follow(running)
    const replays = isAtWork ? state.replays : []
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
      standBy: (patterns) => {
        this.#standing.standBy(patterns)
        if (this.#running !== undefined) this.#follow(this.#running)
      },
    }
    await this.#agree(row.id)
    this.#running = { parts, interest, retries: retryLoop(parts) }
    if (this.#follow(this.#running)) this.#running.retries.look()
    await this.#turn
  }

  /** Others know what this program reads, and none of it is passed over from now on. */
  async #agree(id: number): Promise<void> {
    await this.#host.announce()
    const state = await this.#host.stateOf(id)
    if (state !== undefined) await this.#standing.agree(state)
  }

  /** Takes shards and retries, or leaves them to others; whether it works. */
  #follow(running: Running): boolean {
    const isAtWork = this.#standing.unknown.length === 0
    const { retries } = running
    const wasPaused = retries.paused
    retries.paused = !isAtWork || this.#gate.isClosed
    if (wasPaused && !retries.paused) retries.look()
    const leases = this.#leases
    if (isAtWork === (leases !== undefined) || this.#stopping.signal.aborted) return isAtWork
    const { log } = this.#host
    const failed = (error: unknown): void => log.debug({ err: toError(error) }, 'leases were not handed back')
    if (leases === undefined) {
      const begun = (this.#leases = this.#shardLeases(running))
      this.#turn = this.#turn.then(() => begun.start()).catch(failed)
    } else {
      this.#leases = undefined
      const ended = leases.stop()
      this.#turn = this.#turn.then(() => ended).catch(failed)
    }
    return isAtWork
  }

  #shardLeases({ parts, interest }: Running): ShardLeases {
    return new ShardLeases({
      engine: parts.engine,
      kind: 's',
      ref: parts.row.id,
      shards: 0,
      work: (lease) => this.#work(parts, lease, interest),
    })
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
      const leases = this.#leases === undefined ? [] : [this.#leases]
      const stopping = [...leases, running.retries, ...this.#replays.values()]
      const results = await Promise.allSettled(stopping.map((each) => each.stop(signal)))
      await this.#turn
      for (const result of results) if (result.status === 'rejected') throw result.reason
    } finally {
      running.interest.close()
    }
  }
}

interface Running {
  readonly parts: SubscriberParts
  readonly interest: LogInterest
  readonly retries: TaskLoop
}
