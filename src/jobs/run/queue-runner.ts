/**
 * Works on one queue: claims tasks from its sources while its handlers have room, hands each to the station of its name.
 *
 * It looks for work when there is room and a hint came, when a task is due that it knows of, and at every poll
 * interval. A lease that ends takes all that was claimed under it along; the runner goes on under the next. A loop that
 * does not come round any more is replaced by a new one (`tick`), and what it still brings is given back.
 */
import { AsyncResource } from 'node:async_hooks'
import { waitOrAbort } from '../../core/abort.ts'
import { backoffMs } from '../../core/backoff.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { Failed } from '../../engine/tasks/finish.ts'
import { moment } from '../../engine/moments.ts'
import type { Lease } from '../../engine/worker/worker.ts'
import { failureLog, LogLimit } from '../../telemetry/log-limit.ts'
import type { SourceHost, TaskSource } from '../source.ts'
import { Dispatch, UNKNOWN_MIN_MS } from './dispatch.ts'
import { Ends } from './ends.ts'
import { HeldCheck } from './held-check.ts'
import { Rest } from './rest.ts'
import type { QueueRunnerOptions, RunnerFacts } from './runner-options.ts'
import type { Station } from './station.ts'
import { Stations } from './stations.ts'
import { Suspects } from './suspects.ts'

const RETRY = { baseMs: 100, capMs: 5_000 } as const
const LOG_EVERY_MS = 60_000
const MAX_CLAIM = 2_000
/** A claim of each source takes 3 seconds at most. */
const STUCK_MS = 20_000
/** From the abort of their signals, handlers have so long before their jobs are given back. */
const SHUTDOWN_GRACE_MS = 1_000
/** Runs of this age are looked at once a second: are they still ours? */
const CHECK_AFTER_MS = 1_000

export class QueueRunner {
  readonly #options: QueueRunnerOptions
  readonly #stations = new Stations()
  readonly #suspects: Suspects
  readonly #dispatch: Dispatch
  readonly #sources: readonly TaskSource[]
  readonly #rest: Rest
  readonly #heldCheck: HeldCheck
  readonly #log: LogLimit
  readonly #tellRefused: ReturnType<typeof failureLog>
  readonly #off: (() => void)[] = []
  #ends: readonly Ends[] = []
  #lease: Lease | undefined
  #failures = 0
  #late = 0
  #refused = 0
  #restarts = 0
  #claimedAt: number | undefined
  #turnedAt = 0
  #stopped = false
  #generation = 0
  #loop: Promise<void> | undefined

  constructor(options: QueueRunnerOptions) {
    const { engine, queueId, queueName } = options
    this.#options = options
    this.#rest = new Rest(engine.clock)
    this.#suspects = new Suspects(
      engine,
      (station) => !this.#stopped && this.#stations.find(station.job.name) === station,
    )
    this.#dispatch = new Dispatch(options, {
      stations: this.#stations,
      suspects: this.#suspects,
      report: (error, what) => this.#report(error, what),
    })
    this.#heldCheck = new HeldCheck(engine)
    this.#log = new LogLimit(engine.clock, LOG_EVERY_MS)
    this.#tellRefused = failureLog(options.log, engine.clock)
    const host: SourceHost = {
      engine,
      queueId,
      queueName,
      wake: () => this.wake(),
      names: () => this.#stations.jobs.map(({ name }) => name),
      handles: (name) => this.#stations.find(name) !== undefined,
      left: (name, count) => this.#dispatch.left(name, count),
      held: () => this.#ids(),
    }
    this.#sources = options.sources.map((create) => create(host))
  }

  get queueName(): string {
    return this.#options.queueName
  }
  get isEmpty(): boolean {
    return this.#stations.isEmpty
  }
  /** Those that are run here. */
  get jobs(): Iterable<Station['job']> {
    return this.#stations.jobs
  }
  get facts(): RunnerFacts {
    return {
      ...this.#stations.load,
      claimedMsAgo:
        this.#claimedAt === undefined
          ? undefined
          : Math.round(this.#options.engine.clock.monotonic() - this.#claimedAt),
      failures: this.#failures,
      restarts: this.#restarts,
      unknown: this.#dispatch.unknown,
      late: this.#late,
      refused: this.#refused,
      unstoredMs: this.#unstoredMs(),
    }
  }

  /** Runs the loop. Called where no request's context is active, for handlers inherit that. */
  start(): void {
    const { engine, queueId } = this.#options
    this.#off.push(
      engine.wake.on(`q${queueId}`, () => this.wake()),
      // What it aborts frees slots, whose next handlers must not run in the context of who cancelled.
      engine.wake.on(
        cancelTopic(queueId),
        AsyncResource.bind(() => void this.#check(0)),
      ),
      engine.worker.onLease((lease) => this.#take(lease)),
    )
    this.#loop = this.#run(this.#generation)
  }

  add(station: Station): void {
    this.#stations.add(station)
    this.wake()
  }

  /** There may be something to claim. */
  wake(): void {
    this.#rest.hint()
  }

  /** A station has room again. */
  readonly onRoom = (): void => {
    this.#rest.room()
  }

  /** Claims nothing for it any more, waits for what runs, and for its ends to be stored. */
  async remove(station: Station): Promise<void> {
    this.#stations.retire(station)
    this.#suspects.clear(station)
    await station.idle()
    await Promise.all(this.#ends.map((ends) => ends.idle()))
    this.#stations.forget(station)
  }

  /** Claims nothing more, and gives back what has not begun. */
  stopIntake(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#rest.ring()
    this.#suspects.clear()
    for (const station of this.#stations) station.clear()
  }

  /** Lets what runs end until `patience` aborts, then tells it to, gives the rest back, and stores all ends. */
  async drain(patience: AbortSignal, signal: AbortSignal): Promise<void> {
    this.stopIntake()
    await settled(this.#stations.idle(), AbortSignal.any([patience, signal]))
    const reason = new SluiceError('SLUICE_SHUTDOWN', 'the app is stopping, and the job is given back')
    for (const station of this.#stations) station.abort(reason)
    const grace = new AbortController()
    const timer = this.#options.engine.clock.setTimer(() => grace.abort(), SHUTDOWN_GRACE_MS)
    await settled(this.#stations.idle(), AbortSignal.any([grace.signal, signal]))
    timer.cancel()
    for (const station of this.#stations) station.giveUp(reason)
    await settled(Promise.all([this.#loop, this.#suspects.idle()]), signal)
    await settled(Promise.all(this.#ends.map((ends) => ends.idle())), signal)
  }

  /** After `drain`. What could not be stored by the signal's abort is dropped: the next owner runs it again. */
  async close(signal: AbortSignal): Promise<void> {
    for (const off of this.#off.splice(0)) off()
    const storing = Promise.all([this.#loop, ...this.#ends.map((ends) => ends.idle())])
    await settled(storing, signal)
    for (const ends of this.#ends) ends.drop()
    await settled(Promise.all(this.#sources.map((source) => source.close())), signal)
  }

  /** Once a second: what is stuck, what is no longer ours, what others might run instead. */
  tick(): void {
    const now = this.#options.engine.clock.monotonic()
    const delay = this.#stations.size > 1 ? UNKNOWN_MIN_MS : 0
    this.#stations.yieldHeld(now, delay)
    this.#suspects.yieldHeld(now)
    void this.#check(CHECK_AFTER_MS)
    void this.#tickSources()
    if (this.#stopped || this.#loop === undefined) return
    const { stuckMs = STUCK_MS, pollMs } = this.#options
    if (now - this.#turnedAt <= stuckMs + pollMs * 2) return
    this.#restarts += 1
    this.#generation += 1
    this.#options.log.error({ queue: this.queueName }, 'claiming of jobs came to a stop, and is begun anew')
    this.#loop = this.#run(this.#generation)
  }

  async #tickSources(): Promise<void> {
    const lease = this.#lease
    if (lease === undefined) return
    try {
      for (const source of this.#sources) await source.tick?.(lease)
    } catch (error) {
      // Done again within a second.
      this.#report(toError(error), 'jobs could not be looked over')
    }
  }

  #take(lease: Lease): void {
    const { engine, queueId } = this.#options
    this.#lease = lease
    this.#ends = this.#sources.map(
      (source) =>
        new Ends(source, lease, {
          engine,
          onFailure: (error) => this.#report(error, 'ends of jobs could not be stored'),
          onRefused: (id, error) => this.#refuse(id, error),
          onFailed: (dead, delayMs) => this.#failed(dead, delayMs),
          onLost: (count) => void (this.#late += count),
          onReleased: () => engine.wake.signal(`q${queueId}`),
        }),
    )
    lease.signal.addEventListener('abort', () => this.#lose(lease), { once: true })
    this.wake()
  }

  #lose(lease: Lease): void {
    if (this.#lease !== lease) return
    this.#lease = undefined
    for (const source of this.#sources) source.reset()
    for (const ends of this.#ends) ends.drop()
    this.#ends = []
    this.#suspects.lose()
    for (const station of this.#stations) station.lose(lease.signal.reason)
  }

  async #run(generation: number): Promise<void> {
    const { engine, pollMs } = this.#options
    while (!this.#stopped && generation === this.#generation) {
      this.#turnedAt = engine.clock.monotonic()
      const wait = this.#rest.msLeft
      if (this.#lease === undefined || wait > 0 || !this.#stations.isHungry) {
        await this.#rest.sleep(wait > 0 ? Math.min(wait, pollMs * 2) : pollMs)
        continue
      }
      await this.#claim(this.#lease, this.#ends, generation)
    }
  }

  async #claim(lease: Lease, all: readonly Ends[], generation: number): Promise<void> {
    const { hints } = this.#rest
    try {
      let isDry = true
      for (const ends of all) {
        const { room } = this.#stations
        if (room === 0) return
        const limit = Math.min(room, this.#options.maxClaim ?? MAX_CLAIM)
        const tasks = await ends.source.claim(lease, limit)
        if (tasks.length > 0) moment('jobs.claimed', tasks.length)
        if (tasks.length === limit) isDry = false
        const isCurrent = !this.#stopped && generation === this.#generation
        for (const task of tasks) this.#dispatch.give(task, ends, isCurrent)
        this.#stations.pump()
      }
      this.#failures = 0
      this.#claimedAt = this.#options.engine.clock.monotonic()
      if (isDry && hints === this.#rest.hints) this.#restUntilPoll()
    } catch (error) {
      if (lease.signal.aborted) return
      this.#failures += 1
      this.#report(toError(error), 'jobs could not be claimed')
      this.#rest.forMs(backoffMs(this.#failures, this.#options.engine.random(), RETRY))
    }
  }

  /** Nothing to claim: until a hint, until the next one is due, or the poll. */
  #restUntilPoll(): void {
    const { engine, pollMs } = this.#options
    this.#rest.forMs(pollMs * (0.75 + engine.random() / 2))
    void this.#rest.lookForDue(this.#sources)
  }

  #failed(dead: readonly Failed[], delayMs: number): void {
    this.#rest.dueIn(delayMs)
    const [first] = dead
    if (first === undefined) return
    const more = dead.length === 1 ? '' : `, and ${dead.length - 1} more`
    const { id, attempt, error } = first
    // The handler's own error, as it is kept; its stack is not.
    const text = `job ${id} failed in its last attempt (${attempt}): ${error}${more}`
    this.#report(new Error(text), 'jobs became dead letters')
  }

  /** Aborts runs of at least this age that are no longer ours: cancelled, or given to others. */
  #check(minAgeMs: number): Promise<void> {
    return this.#heldCheck.look(this.#stations, this.#lease, minAgeMs)
  }

  *#ids(): Iterable<string> {
    yield* this.#stations.ids()
    yield* this.#suspects.ids()
    for (const ends of this.#ends) yield* ends.ids()
  }

  #refuse(id: string, error: Error): void {
    this.#refused += 1
    const fields = { err: error, queue: this.queueName, jobId: id }
    this.#tellRefused('end', fields, 'the database refused the end of a job, which has failed for that')
  }

  #unstoredMs(): number | undefined {
    const since = this.#ends.flatMap((ends) => ends.failingSince ?? [])
    return since.length === 0
      ? undefined
      : Math.round(this.#options.engine.clock.monotonic() - Math.min(...since))
  }

  #report(error: Error, what: string): void {
    const suppressed = this.#log.take()
    if (suppressed === undefined) return
    const { log, queueName } = this.#options
    log.warn({ err: error, queue: queueName, suppressed }, what)
  }
}

/** Topic of the hint that a job of the queue was cancelled. */
export function cancelTopic(queue: number): string {
  return `x${queue}`
}

/** Waits for work that reports its own failures, or for the signal. */
async function settled(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  try {
    await waitOrAbort(work, signal)
  } catch {
    // The caller goes on with what it does at the deadline.
  }
}
