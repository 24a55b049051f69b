/**
 * Works on one queue: claims tasks from its sources while its handlers have room, hands each to the station of its name.
 *
 * It looks for work when there is room and a hint came, when a task is due that it knows of, and at every poll
 * interval. A lease that ends takes all that was claimed under it along; the runner goes on under the next.
 */
import { backoffMs } from '../../core/backoff.ts'
import type { Deadlines } from '../../core/deadlines.ts'
import { toError } from '../../core/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import { moment } from '../../engine/moments.ts'
import type { Lease } from '../../engine/worker/worker.ts'
import type { Logger } from '../../telemetry/log.ts'
import { LogLimit } from '../../telemetry/log-limit.ts'
import type { SourceFactory, TaskSource } from '../source.ts'
import { Alarm } from './alarm.ts'
import { Ends } from './ends.ts'
import type { Station } from './station.ts'

export interface QueueRunnerOptions {
  readonly engine: Engine
  readonly queueId: number
  readonly queueName: string
  readonly pollMs: number
  readonly log: Logger
  readonly deadlines: Deadlines
  readonly sources: readonly SourceFactory[]
}

const RETRY = { baseMs: 100, capMs: 5_000 } as const
const LOG_EVERY_MS = 60_000
/** Tasks of one claim, at most. */
const MAX_CLAIM = 2_000

export class QueueRunner {
  readonly #options: QueueRunnerOptions
  readonly #stations = new Map<string, Station>()
  readonly #sources: readonly TaskSource[]
  readonly #alarm: Alarm
  readonly #log: LogLimit
  readonly #off: (() => void)[] = []
  #ends: readonly Ends[] = []
  #lease: Lease | undefined
  #hints = 0
  /** Claim no sooner than this, unless a hint comes: the queue was empty. */
  #quietUntil = -Infinity
  #failures = 0
  #stopped = false
  #loop: Promise<void> | undefined

  constructor(options: QueueRunnerOptions) {
    const { engine, queueId, queueName } = options
    this.#options = options
    this.#alarm = new Alarm(engine.clock)
    this.#log = new LogLimit(engine.clock, LOG_EVERY_MS)
    const host = { engine, queueId, queueName, wake: () => this.wake() }
    this.#sources = options.sources.map((create) => create(host))
  }

  /** Runs the loop. Called where no request's context is active, for handlers inherit that. */
  start(): void {
    const { engine, queueId } = this.#options
    this.#off.push(
      engine.wake.on(`q${queueId}`, () => this.wake()),
      engine.worker.onLease((lease) => this.#take(lease)),
    )
    this.#loop = this.#run()
  }

  add(station: Station): void {
    this.#stations.set(station.job.name, station)
    this.wake()
  }

  /** There may be something to claim. */
  wake(): void {
    this.#hints += 1
    this.#quietUntil = -Infinity
    this.#alarm.ring()
  }

  /** A station has room again. */
  readonly onRoom = (): void => {
    if (this.#quietUntil === -Infinity) this.#alarm.ring()
  }

  /** Claims nothing for it any more, waits for what runs, and for its ends to be stored. */
  async remove(station: Station): Promise<void> {
    const { name } = station.job
    if (this.#stations.get(name) === station) this.#stations.delete(name)
    station.clear()
    await station.idle()
    await Promise.all(this.#ends.map((ends) => ends.idle()))
  }

  get isEmpty(): boolean {
    return this.#stations.size === 0
  }

  /** Claims nothing more. */
  stopIntake(): void {
    this.#stopped = true
    for (const off of this.#off.splice(0)) off()
    this.#alarm.ring()
    for (const station of this.#stations.values()) station.clear()
  }

  async close(): Promise<void> {
    this.stopIntake()
    await this.#loop
    await Promise.all([...this.#stations.values()].map((station) => station.idle()))
    await Promise.all(this.#ends.map((ends) => ends.idle()))
    await Promise.all(this.#sources.map((source) => source.close()))
  }

  #take(lease: Lease): void {
    const { engine } = this.#options
    this.#lease = lease
    this.#ends = this.#sources.map(
      (source) =>
        new Ends(source, lease, {
          engine,
          onFailure: (error) => this.#report(error, 'ends of jobs could not be stored'),
          onFailed: (_dead, delayMs) => this.#dueIn(delayMs),
          onLost: () => {},
        }),
    )
    lease.signal.addEventListener('abort', () => this.#lose(lease), { once: true })
    this.wake()
  }

  #lose(lease: Lease): void {
    if (this.#lease !== lease) return
    this.#lease = undefined
    for (const source of this.#sources) source.reset()
    for (const station of this.#stations.values()) station.abort(lease.signal.reason)
    for (const ends of this.#ends) ends.drop()
    this.#ends = []
  }

  async #run(): Promise<void> {
    const { clock } = this.#options.engine
    while (!this.#stopped) {
      const wait = this.#quietUntil - clock.monotonic()
      if (this.#lease === undefined || wait > 0 || !this.#isHungry()) {
        await this.#alarm.wait(Math.max(1, Math.min(wait > 0 ? wait : Infinity, this.#options.pollMs)))
        continue
      }
      await this.#claim(this.#lease, this.#ends)
    }
  }

  #isHungry(): boolean {
    for (const station of this.#stations.values()) if (station.isHungry) return true
    return false
  }

  async #claim(lease: Lease, all: readonly Ends[]): Promise<void> {
    const hints = this.#hints
    try {
      let isDry = true
      for (const ends of all) {
        let room = 0
        for (const station of this.#stations.values()) room += station.room
        if (room === 0) return
        const limit = Math.min(room, MAX_CLAIM)
        const tasks = await ends.source.claim(lease, limit)
        if (tasks.length > 0) moment('jobs.claimed', tasks.length)
        if (tasks.length === limit) isDry = false
        for (const task of tasks) this.#dispatch(task, ends)
        for (const station of this.#stations.values()) station.pump()
      }
      this.#failures = 0
      if (isDry && hints === this.#hints) await this.#rest(hints)
    } catch (error) {
      this.#failures += 1
      this.#report(toError(error), 'jobs could not be claimed')
      this.#restFor(backoffMs(this.#failures, this.#options.engine.random(), RETRY))
    }
  }

  #dispatch(task: Awaited<ReturnType<TaskSource['claim']>>[number], ends: Ends): void {
    const { queueName } = this.#options
    const station = this.#stations.get(task.name ?? queueName)
    const { id, attempt } = task
    if (station === undefined || this.#stopped)
      ends.released.add({ id, attempt, delay: this.#stopped ? 0 : 1_000 })
    else station.accept(task, ends)
  }

  /** Nothing to claim: until a hint, until the next one is due, or the poll. */
  async #rest(hints: number): Promise<void> {
    const { engine, pollMs } = this.#options
    this.#restFor(pollMs * (0.75 + engine.random() / 2))
    const due = await Promise.all(this.#sources.map((source) => source.nextDue()))
    if (hints !== this.#hints) return
    for (const ms of due) if (ms !== undefined) this.#dueIn(ms)
  }

  #dueIn(ms: number): void {
    const at = this.#options.engine.clock.monotonic() + Math.max(0, ms)
    if (at >= this.#quietUntil) return
    this.#quietUntil = at
    this.#alarm.ring()
  }

  #restFor(ms: number): void {
    this.#quietUntil = this.#options.engine.clock.monotonic() + ms
  }

  #report(error: Error, what: string): void {
    const suppressed = this.#log.take()
    if (suppressed === undefined) return
    const { log, queueName } = this.#options
    log.warn({ err: error, queue: queueName, suppressed }, what)
  }
}
