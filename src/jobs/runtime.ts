/** What runs behind `jobs()` once it is connected: the engine, the way in, and a runner for each queue that has a handler. */
import { AsyncResource } from 'node:async_hooks'
import type { ComponentContext } from '../app/component.ts'
import type { Postgres } from '../components/postgres/api.ts'
import { Deadlines } from '../core/deadlines.ts'
import { engineOf, releaseEngine, type Engine } from '../engine/engine.ts'
import { Enqueuer } from './enqueuer.ts'
import { keyedSource } from './keyed-source.ts'
import { poolSource } from './pool-source.ts'
import type { Registered } from './registry.ts'
import { QueueRunner } from './run/queue-runner.ts'
import { Station } from './run/station.ts'
import type { JobsConfig } from './section.ts'

export class JobsRuntime {
  readonly #context: ComponentContext<JobsConfig>
  readonly #runners = new Map<string, Promise<QueueRunner>>()
  readonly #deadlines: Deadlines
  /** Of no request: whoever wakes a runner must not lend its context to handlers. */
  readonly #scope = new AsyncResource('sluice.jobs')
  readonly engine: Engine
  readonly enqueuer: Enqueuer
  #stopped = false

  constructor(context: ComponentContext<JobsConfig>) {
    const { clock, random, log, metrics, appName, config } = context
    this.#context = context
    const db = context.required('postgres') as Postgres
    this.engine = engineOf({ db, clock, random, log, metrics, appName, notify: config.notify })
    this.#deadlines = new Deadlines(clock)
    this.enqueuer = new Enqueuer(this.engine)
  }

  async open(signal: AbortSignal): Promise<void> {
    try {
      await this.engine.open(signal)
      signal.throwIfAborted()
    } catch (error) {
      await releaseEngine(this.engine)
      throw error
    }
  }

  /** Begins to run jobs by a handler. */
  async run(registered: Registered): Promise<void> {
    if (this.#stopped) return
    const { job } = registered
    const runner = await this.#runnerOf(job.queue)
    if (this.#stopped || registered.stopped) return
    const { clock, random, log, config } = this.#context
    const station = new Station({
      job,
      handler: registered.handler,
      concurrency: registered.options.concurrency ?? job.concurrency ?? config.concurrency,
      clock,
      random,
      log,
      deadlines: this.#deadlines,
      onRoom: runner.onRoom,
    })
    registered.attach(station, () => runner.remove(station))
    runner.add(station)
  }

  async stopIntake(): Promise<void> {
    this.#stopped = true
    for (const runner of await this.#allRunners()) runner.stopIntake()
  }

  async close(): Promise<void> {
    this.#stopped = true
    await this.enqueuer[Symbol.asyncDispose]()
    await Promise.all((await this.#allRunners()).map((runner) => runner.close()))
    await releaseEngine(this.engine)
  }

  #runnerOf(queue: string): Promise<QueueRunner> {
    let runner = this.#runners.get(queue)
    if (runner === undefined) {
      runner = this.#createRunner(queue)
      this.#runners.set(queue, runner)
      runner.catch(() => this.#runners.delete(queue))
    }
    return runner
  }

  async #createRunner(queueName: string): Promise<QueueRunner> {
    const queueId = await this.engine.queues.id(queueName)
    const { config, log } = this.#context
    const runner = new QueueRunner({
      engine: this.engine,
      queueId,
      queueName,
      pollMs: config.pollInterval,
      log,
      deadlines: this.#deadlines,
      sources: [poolSource, keyedSource],
    })
    if (!this.#stopped) this.#scope.runInAsyncScope(() => runner.start())
    return runner
  }

  async #allRunners(): Promise<readonly QueueRunner[]> {
    const settled = await Promise.allSettled(this.#runners.values())
    return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  }
}
