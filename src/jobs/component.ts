/**
 * The jobs component. What answers before it is connected is loaded with this module; the rest is imported by `connect`,
 * behind the open port.
 */
import type { Component, ComponentContext, Inspection } from '../app/component.ts'
import { backoffMs } from '../core/backoff.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { createJobsApi } from './jobs-api.ts'
import { checkQueue } from './queue-health.ts'
import type { Jobs } from './api.ts'
import { Registry, type Registered } from './registry.ts'
import type { JobsRuntime } from './runtime.ts'
import type { JobsConfig } from './section.ts'

/** What `drain` needs beyond the time that jobs are given: for their signals, and for storing their ends. */
const DRAIN_EXTRA_MS = 4_000
/** Between two attempts to begin with a handler. */
const RETRY = { baseMs: 200, capMs: 5_000 } as const

export function createJobs(context: ComponentContext<JobsConfig>): Component<Jobs> {
  return new JobsComponent(context)
}

class JobsComponent implements Component<Jobs> {
  readonly #context: ComponentContext<JobsConfig>
  readonly #registry = new Registry()
  readonly api: Jobs
  readonly drainMs: number
  #runtime: JobsRuntime | undefined
  /** Handlers that could not begin yet, and why. */
  readonly #late = new Map<Registered, Error>()
  #closing = new AbortController()

  constructor(context: ComponentContext<JobsConfig>) {
    this.#context = context
    this.drainMs = context.config.shutdownTimeout + DRAIN_EXTRA_MS
    this.api = createJobsApi(context, {
      runtime: () => this.#open(),
      handle: (job, handler, options) => {
        const registered = this.#registry.add(job, handler, options)
        this.#begin(registered)
        return registered
      },
    })
  }

  async connect(signal: AbortSignal): Promise<void> {
    const { JobsRuntime } = await import('./runtime.ts')
    signal.throwIfAborted()
    if (this.#runtime === undefined) {
      const opened = new JobsRuntime(this.#context)
      await opened.open(signal)
      this.#runtime = opened
      this.#closing = new AbortController()
    }
    for (const registered of this.#registry.values()) this.#begin(registered)
  }

  /** Asks the database for what jobs are made of, and the runners whether they get on. */
  async check(signal: AbortSignal): Promise<void> {
    const runtime = this.#runtime ?? this.#open()
    await runtime.engine.tables.check(signal)
    for (const [{ job, stopped }, cause] of this.#late) {
      if (stopped) continue
      throw new SluiceError('SLUICE_UNAVAILABLE', `jobs called "${job.name}" cannot be run yet`, {
        retryable: true,
        cause,
      })
    }
    for (const [queue, facts] of Object.entries(runtime.facts())) checkQueue(queue, facts)
  }

  stopIntake(): Promise<void> {
    this.#runtime?.stopIntake()
    return Promise.resolve()
  }

  async drain(signal: AbortSignal): Promise<void> {
    await this.#runtime?.drain(signal)
  }

  async close(signal: AbortSignal): Promise<void> {
    const runtime = this.#runtime
    this.#runtime = undefined
    this.#closing.abort()
    await runtime?.close(signal)
  }

  inspect(): Inspection {
    return {
      handlers: [...this.#registry.values()].map(({ job }) => job.name),
      queues: this.#runtime === undefined ? {} : withoutUndefined(this.#runtime.facts()),
      // Jobs that wait though no process handles them.
      unhandled: this.#runtime?.unhandled.current.map((each) => ({ ...each })) ?? [],
      // Of all processes, as they were read some seconds ago.
      database: this.#runtime?.engine.facts.current?.queues.map((queue) => ({ ...queue })) ?? [],
      heartbeatMsAgo: rounded(this.#runtime?.engine.worker.beatAgeMs),
    }
  }

  #open(): JobsRuntime {
    if (this.#runtime !== undefined) {
      this.#runtime.engine.tables.refuse()
      return this.#runtime
    }
    throw new SluiceError('SLUICE_NOT_READY', `"${this.#context.name}" is not connected`, { retryable: true })
  }

  #begin(registered: Registered): void {
    const runtime = this.#runtime
    if (runtime !== undefined) void this.#start(runtime, registered)
  }

  /** Again and again, as a database may be away for a moment; what is wrong with the program is so each time. */
  async #start(runtime: JobsRuntime, registered: Registered): Promise<void> {
    const { clock, random, log, name } = this.#context
    const { signal } = this.#closing
    for (let failures = 1; this.#runtime === runtime && !registered.stopped; failures++) {
      try {
        await runtime.run(registered)
        break
      } catch (thrown) {
        const error = toError(thrown)
        const isFinal = hasCode(error, 'SLUICE_CONFIG')
        const what = `${name}: jobs called "${registered.job.name}" cannot be run${isFinal ? '' : ' yet'}`
        if (isFinal) log.error({ err: error }, what)
        else if (failures === 1) log.warn({ err: error }, what)
        if (isFinal) break
        this.#late.set(registered, error)
        const ms = RETRY.baseMs / 2 + backoffMs(failures, random(), RETRY)
        await clock.sleep(ms, { signal }).catch(() => {})
      }
    }
    this.#late.delete(registered)
  }
}

function withoutUndefined(value: object): object {
  return JSON.parse(JSON.stringify(value)) as object
}

function rounded(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms)
}
