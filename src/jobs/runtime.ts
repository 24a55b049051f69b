/** What runs behind `jobs()` once it is connected: the engine, the way in, and a runner for each queue that has a handler. */
import { AsyncResource } from 'node:async_hooks'
import type { ComponentContext } from '../app/component.ts'
import type { Postgres } from '../components/postgres/api.ts'
import type { Threads } from '../components/threads/api.ts'
import { Deadlines } from '../core/deadlines.ts'
import type { Timer } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import { engineOf, releaseEngine, type Engine } from '../engine/engine.ts'
import { queueStats } from './admin/queues.ts'
import { sweep } from './admin/sweep.ts'
import type { QueueStats } from './api.ts'
import { ConnectionShare } from './connection-share.ts'
import { Enqueuer } from './enqueuer.ts'
import { limitedSources } from './limits-source.ts'
import type { Registered } from './registry.ts'
import { jobMetrics } from './run/job-metrics.ts'
import { ProgressWriter } from './run/progress.ts'
import { QueueRunner } from './run/queue-runner.ts'
import type { RunnerFacts } from './run/runner-options.ts'
import { Station, type StationHandler } from './run/station.ts'
import { threadHandler } from './run/thread-handler.ts'
import { transactional } from './run/transactional.ts'
import type { JobsConfig } from './section.ts'
import { Unhandled } from './unhandled.ts'

const TICK_MS = 1_000
/** Limit of the goodbyes of a runner whose last handler has stopped. */
const REMOVE_LIMIT_MS = 5_000
const SWEEP_EVERY_MS = 60_000

export class JobsRuntime {
  readonly #context: ComponentContext<JobsConfig>
  readonly #runners = new Map<string, Promise<QueueRunner>>()
  readonly #jobs = new Map<string, Set<Registered['job']>>()
  readonly #started = new Set<QueueRunner>()
  readonly #deadlines: Deadlines
  readonly #progress: ProgressWriter
  readonly #connections: ConnectionShare
  /** Of no request: whoever wakes a runner must not lend its context to handlers. */
  readonly #scope = new AsyncResource('sluice.jobs')
  readonly engine: Engine
  readonly enqueuer: Enqueuer
  readonly unhandled: Unhandled
  #unobserve: (() => void) | undefined
  #timer: Timer | undefined
  #endSweeps: (() => void) | undefined
  #stopped = false
  #draining: Promise<void> | undefined

  constructor(context: ComponentContext<JobsConfig>) {
    const { clock, random, log, metrics, appName, config } = context
    this.#context = context
    const db = context.required('postgres') as Postgres
    this.engine = engineOf({ db, clock, random, log, metrics, appName, notify: config.notify })
    this.#deadlines = new Deadlines(clock)
    this.#progress = new ProgressWriter(this.engine)
    this.#connections = new ConnectionShare(db, log)
    this.enqueuer = new Enqueuer(this.engine, context.name)
    this.unhandled = new Unhandled({
      engine: this.engine,
      log,
      component: context.name,
      handled: () => this.#handled(),
    })
  }

  async open(signal: AbortSignal): Promise<void> {
    try {
      await this.engine.open(signal)
      signal.throwIfAborted()
    } catch (error) {
      await this.enqueuer[Symbol.asyncDispose]()
      await releaseEngine(this.engine)
      throw error
    }
    const { engine } = this
    this.#endSweeps = engine.chores.add(`kept by ${this.#context.name}`, SWEEP_EVERY_MS, (stopped) =>
      sweep(engine.db, this.#context.config.keepDead, stopped),
    )
    const { metrics, name } = this.#context
    this.#unobserve = metrics.observe(
      'sluice_jobs_unhandled',
      'Names of jobs that wait though no process handles them.',
      { component: name },
      () => this.unhandled.current.length,
    )
    this.#scope.runInAsyncScope(() => {
      this.unhandled.start()
      this.#tickLater()
    })
  }

  /** Begins to run jobs by a handler. */
  async run(registered: Registered): Promise<void> {
    const { job } = registered
    const { clock, random, log, metrics, name, config } = this.#context
    const handler = this.#handlerOf(registered)
    this.#jobsOf(job.queue).add(job)
    let runner = await this.#runnerOf(job.queue)
    // The last handler that it had may have taken it along meanwhile.
    while (!this.#stopped && !this.#started.has(runner)) runner = await this.#runnerOf(job.queue)
    if (this.#stopped || registered.stopped) return
    const concurrency = registered.options.concurrency ?? job.concurrency ?? config.concurrency
    const station = new Station({
      job,
      handler,
      concurrency,
      clock,
      random,
      log,
      deadlines: this.#deadlines,
      progress: this.#progress,
      metrics: jobMetrics(metrics, name, job.name),
      onRoom: runner.onRoom,
    })
    const owner = runner
    registered.attach(station, () => this.#remove(owner, station))
    if (isTransactional(registered)) this.#connections.add(station, concurrency)
    runner.add(station)
    this.unhandled.announce()
  }

  stopIntake(): void {
    this.#stopped = true
    for (const runner of this.#started) runner.stopIntake()
  }

  /** Lets jobs run on for the configured time, then gives them back; once. */
  drain(signal: AbortSignal): Promise<void> {
    this.stopIntake()
    this.#draining ??= this.#drain(this.#context.config.shutdownTimeout, signal)
    return this.#draining
  }

  async close(signal: AbortSignal): Promise<void> {
    this.stopIntake()
    this.#timer?.cancel()
    try {
      await this.enqueuer[Symbol.asyncDispose]()
      // Nobody has waited for them until now: whoever closes a component by itself has no patience to give.
      await this.#drain(this.#draining === undefined ? closePatienceMs(this.#context.config) : 0, signal)
      await Promise.all([...this.#started].map((runner) => runner.close(signal)))
      this.#progress.close()
      this.#endSweeps?.()
      this.#unobserve?.()
    } finally {
      for (const queue of this.#runners.keys()) this.engine.taken.leave(placeOf(queue), this)
      await this.unhandled.stop()
      await releaseEngine(this.engine)
    }
  }

  /** It has, or had, a handler in this process. */
  handles(queue: string): boolean {
    return this.#jobs.has(queue)
  }

  /** By queue. */
  facts(): Readonly<Record<string, RunnerFacts>> {
    return Object.fromEntries([...this.#started].map((runner) => [runner.queueName, runner.facts]))
  }

  /** What there is in each queue, as the database counts it. */
  async stats(): Promise<readonly QueueStats[]> {
    const counted = await queueStats(this.engine.db)
    const facts = this.facts()
    return counted.map((queue) => ({ ...queue, unknown: facts[queue.name]?.unknown ?? 0 }))
  }

  async #drain(patienceMs: number, signal: AbortSignal): Promise<void> {
    const patience = new AbortController()
    const timer = this.#context.clock.setTimer(() => patience.abort(), patienceMs)
    try {
      await Promise.all([...this.#started].map((runner) => runner.drain(patience.signal, signal)))
    } finally {
      timer.cancel()
    }
  }

  #handlerOf({ job, handler, options }: Registered): StationHandler {
    if (handler instanceof URL) {
      const threads = this.#context.required('threads') as Threads | undefined
      if (threads !== undefined) return { kind: 'single', run: threadHandler(threads, handler, job) }
      throw new SluiceError(
        'SLUICE_CONFIG',
        `job "${job.name}": its handler runs in a thread, and the app has none`,
        {
          hint: 'Add one to the components of the app: { threads: threads() }.',
        },
      )
    }
    if ('batch' in options && options.batch !== undefined) {
      return { kind: 'batch', run: handler as never, size: options.batch }
    }
    const single = handler as Parameters<typeof transactional>[2]
    if (isTransactional({ handler, options })) {
      return { kind: 'single', run: transactional(this.engine.db, job, single) }
    }
    return { kind: 'single', run: single }
  }

  /** The last handler of a queue takes its runner along, and what that holds: leases of shards, places in limits. */
  async #remove(runner: QueueRunner, station: Station): Promise<void> {
    await runner.remove(station)
    this.#connections.remove(station)
    this.unhandled.announce()
    if (!runner.isEmpty || this.#stopped) return
    this.#runners.delete(runner.queueName)
    this.#started.delete(runner)
    runner.stopIntake()
    try {
      await runner.close(AbortSignal.timeout(REMOVE_LIMIT_MS))
    } finally {
      this.engine.taken.leave(placeOf(runner.queueName), this)
    }
  }

  /** Names of the jobs that are handled here now, by queue. */
  #handled(): Readonly<Record<string, readonly string[]>> {
    const running = [...this.#started].map((runner) => [
      runner.queueName,
      [...runner.jobs].map(({ name }) => name),
    ])
    return this.#stopped ? {} : (Object.fromEntries(running) as Record<string, string[]>)
  }

  /** Jobs that were ever handled here: their limits are the queue's. */
  #jobsOf(queue: string): Set<Registered['job']> {
    let jobs = this.#jobs.get(queue)
    if (jobs === undefined) this.#jobs.set(queue, (jobs = new Set()))
    return jobs
  }

  #runnerOf(queue: string): Promise<QueueRunner> {
    let runner = this.#runners.get(queue)
    if (runner === undefined) {
      const hint = 'Handle the jobs of a queue in one of the components.'
      this.engine.taken.take(placeOf(queue), this, { component: this.#context.name, hint })
      runner = this.#createRunner(queue)
      this.#runners.set(queue, runner)
      runner.catch(() => {
        this.#runners.delete(queue)
        this.engine.taken.leave(placeOf(queue), this)
      })
    }
    return runner
  }

  async #createRunner(queueName: string): Promise<QueueRunner> {
    const queueId = await this.engine.queues.id(queueName)
    const { config, log, metrics, name } = this.#context
    const { unknown } = jobMetrics(metrics, name, queueName)
    const runner = new QueueRunner({
      engine: this.engine,
      queueId,
      queueName,
      pollMs: config.pollInterval,
      log,
      sources: limitedSources(this.#jobsOf(queueName)),
      onUnknown: (count) => unknown.add(count),
    })
    if (!this.#stopped) {
      this.#started.add(runner)
      this.#scope.runInAsyncScope(() => runner.start())
    }
    return runner
  }

  #tickLater(): void {
    this.#timer = this.#context.clock.setTimer(() => {
      for (const runner of this.#started) runner.tick()
      this.#tickLater()
    }, TICK_MS)
  }
}

const placeOf = (queue: string): string => `queue "${queue}"`

function isTransactional({ handler, options }: Pick<Registered, 'handler' | 'options'>): boolean {
  const isSingle = !(handler instanceof URL) && !('batch' in options && options.batch !== undefined)
  return isSingle && 'transaction' in options && options.transaction === true
}

/** Where `drain` was not called: at most a second for what runs. */
function closePatienceMs({ shutdownTimeout }: JobsConfig): number {
  return Math.min(1_000, shutdownTimeout)
}
