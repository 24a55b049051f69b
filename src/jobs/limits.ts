/**
 * The limits of a queue over all processes, as one process sees them: it asks for permits before it claims tasks, and
 * says when they have ended. One statement at a time, so that what it says it runs is what it runs.
 *
 * While a limit holds nothing is asked: of a rate it is known when there is room again; of running tasks, whoever ends
 * one tells those that were refused, and a poll stands behind that.
 */
import type { Engine } from '../engine/engine.ts'
import { giveRate, passGate, takeRate, type RateLimit } from '../engine/tasks/limits.ts'
import type { Lease } from '../engine/worker/worker.ts'
import { toError } from '../core/errors.ts'
import type { Job } from './job.ts'

/** What the jobs of a queue say together: of several the strictest. */
export interface LimitRules {
  readonly running: number | undefined
  readonly rate: RateLimit | undefined
  /** Of one key: tasks that run at once, and starts. */
  readonly width: number
  readonly keyRate: RateLimit | undefined
}

export type LimitedJob = Pick<Job<never, unknown>, 'rate' | 'limit'>

export function limitRules(jobs: Iterable<LimitedJob>): LimitRules {
  let running: number | undefined
  let width: number | undefined
  let rate: RateLimit | undefined
  let keyRate: RateLimit | undefined
  for (const each of jobs) {
    const { limit } = each
    if (limit?.by === 'queue') running = Math.min(running ?? Infinity, limit.running)
    if (limit?.by === 'key') width = Math.min(width ?? Infinity, limit.running)
    if (each.rate?.by === 'queue') rate = stricter(rate, each.rate)
    if (each.rate?.by === 'key') keyRate = stricter(keyRate, each.rate)
  }
  return { running, rate, width: width ?? 1, keyRate }
}

function stricter(a: RateLimit | undefined, b: RateLimit): RateLimit {
  return a === undefined || b.limit / b.perMs < a.limit / a.perMs ? b : a
}

/** Permits to claim; what is not used of them must be given back. */
export interface Permits {
  readonly count: number
  /** Slot of the rate that they were taken from; undefined without one. */
  readonly slot: number | undefined
}

const NONE: Permits = { count: 0, slot: undefined }
/** Who was refused for what others run asks again after this long without a hint. */
const POLL_MS = 1_000

export class QueueLimits {
  readonly #engine: Engine
  readonly #queue: number
  readonly #rules: () => LimitRules
  readonly #onRoom: () => void
  readonly #off: () => void
  /** Tasks that were claimed and have not ended, by the worker that claimed them. */
  #held = new Set<string>()
  #reserved = 0
  #lease: Lease | undefined
  #gateUntil = -Infinity
  #rateUntil = -Infinity
  #turn: Promise<unknown> = Promise.resolve()
  #isTelling = false

  constructor(engine: Engine, queue: number, rules: () => LimitRules, onRoom: () => void) {
    this.#engine = engine
    this.#queue = queue
    this.#rules = rules
    this.#onRoom = onRoom
    this.#off = engine.wake.on(gateTopic(queue), () => this.#open())
  }

  /** Milliseconds until it is worth asking again; undefined where nothing is in the way. */
  get blockedFor(): number | undefined {
    const left = Math.max(this.#gateUntil, this.#rateUntil) - this.#engine.clock.monotonic()
    return left > 0 ? left : undefined
  }

  /** Nothing is limited: permits are not needed. */
  get isFree(): boolean {
    const { running, rate } = this.#rules()
    return running === undefined && rate === undefined
  }

  /** Up to `want` permits. Rejects as the database does, and then has taken none that would stay taken. */
  take(lease: Lease, want: number): Promise<Permits> {
    return this.#inTurn(async () => {
      const { running, rate } = this.#rules()
      if (running === undefined && rate === undefined) return { count: want, slot: undefined }
      if (this.blockedFor !== undefined || want === 0) return NONE
      this.#of(lease)
      const count = running === undefined ? want : await this.#pass(lease, want, running)
      if (count === 0 || rate === undefined) return { count, slot: undefined }
      return this.#takeRate(count, rate)
    })
  }

  /** These were claimed with the permits; the rest of them is given back. */
  claimed(lease: Lease, permits: Permits, ids: readonly string[]): void {
    if (this.#lease !== lease) return
    const { running, rate } = this.#rules()
    if (running !== undefined) {
      for (const id of ids) this.#held.add(id)
      this.#reserved = Math.max(0, this.#reserved - permits.count)
    }
    const unused = permits.count - ids.length
    if (unused <= 0) return
    if (running !== undefined) this.#tell()
    const { slot } = permits
    if (rate === undefined || slot === undefined) return
    giveRate(this.#engine.db, this.#queue, '', slot, unused).catch((error: unknown) => this.#log(error))
  }

  ended(ids: Iterable<string>): void {
    let count = 0
    for (const id of ids) if (this.#held.delete(id)) count++
    if (count > 0) this.#tell()
  }

  reset(): void {
    this.#held = new Set()
    this.#reserved = 0
    this.#lease = undefined
  }

  async close(): Promise<void> {
    this.#off()
    await this.#turn.catch(() => {})
  }

  async #pass(lease: Lease, want: number, limit: number): Promise<number> {
    const held = this.#held.size + this.#reserved
    const { granted } = await passGate(this.#engine.db, this.#queue, lease.id, { held, want, limit })
    if (this.#lease !== lease) return 0
    this.#reserved += granted
    if (granted < want) this.#gateUntil = this.#engine.clock.monotonic() + POLL_MS
    return granted
  }

  async #takeRate(want: number, rate: RateLimit): Promise<Permits> {
    const answers = await takeRate(this.#engine.db, this.#queue, new Map([['', want]]), rate).catch(
      (error: unknown) => {
        this.#giveUp(want)
        throw error
      },
    )
    const { granted, slot, dueIn } = answers.get('') ?? { granted: 0, slot: 0, dueIn: POLL_MS }
    if (granted < want) {
      this.#giveUp(want - granted)
      this.#rateUntil = this.#engine.clock.monotonic() + dueIn
    }
    return { count: granted, slot }
  }

  /** Permits to run that the rate has no use for. */
  #giveUp(count: number): void {
    if (this.#reserved === 0) return
    this.#reserved = Math.max(0, this.#reserved - count)
    this.#tell()
  }

  /** Tells the database what runs here, once for all that ends in the meantime. */
  #tell(): void {
    const lease = this.#lease
    if (this.#isTelling || lease === undefined) return
    this.#isTelling = true
    const told = this.#inTurn(async () => {
      this.#isTelling = false
      const { running: limit } = this.#rules()
      if (this.#lease !== lease || limit === undefined) return
      const held = this.#held.size + this.#reserved
      const { woken } = await passGate(this.#engine.db, this.#queue, lease.id, { held, want: 0, limit })
      if (woken) this.#engine.wake.signal(gateTopic(this.#queue))
      else this.#open()
    })
    told.catch((error: unknown) => this.#log(error))
  }

  #of(lease: Lease): void {
    if (this.#lease === lease) return
    this.reset()
    this.#lease = lease
  }

  /** Something ended, here or elsewhere. Of a rate it is known better when there is room. */
  #open(): void {
    if (this.#gateUntil === -Infinity) return
    this.#gateUntil = -Infinity
    this.#onRoom()
  }

  #inTurn<T>(fn: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(fn)
    this.#turn = result.catch(() => {})
    return result
  }

  #log(error: unknown): void {
    // What it runs is told again with the next permits that it asks for.
    this.#engine.log.debug({ err: toError(error) }, 'permits could not be given back')
  }
}

/** Topic of the hint that a limit on running tasks has room again. */
function gateTopic(queue: number): string {
  return `gate-q${queue}`
}
