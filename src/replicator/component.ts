/**
 * The replicator as a component. `connect` resolves when the store may be read: at once from a warm cache, after the load
 * from an empty one, with progress; or when another process holds the lease, so that a successor can be rolled out.
 * What goes wrong later it heals by itself; its `check` says what does not work at the moment.
 */
import type { Component, ComponentContext } from '../app/component.ts'
import { invalidArgument, SluiceError } from '../core/errors.ts'
import type { Redis } from '../components/redis/index.ts'
import type { OperationLimits, OperationSpec } from '../telemetry/operate.ts'
import type { Replicator, ReplicatorStats } from './api.ts'
import type { PartContext } from './contract.ts'
import { resolveLanes } from './lane-options.ts'
import type { Runtime } from './runtime.ts'
import type { ReplicatorConfig } from './section.ts'
import type { Parts, RuntimeOptions } from './settings.ts'
import { statsOf } from './stats.ts'

const LIMITS: OperationLimits = {
  timeoutMs: 10_000,
  maxConcurrent: 10,
  maxWaiting: 1_000,
  breakerThreshold: 0,
  breakerResetMs: 0,
  retries: 0,
}
const DEAD_LETTERS: OperationSpec = Object.freeze({ name: 'deadLetters', idempotent: true })
const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1_000
/** What `drain` may take: a few writes, also where each needs its whole limit. */
const DRAIN_MS = 15_000
const WRITE_BACKOFF = { baseMs: 50, capMs: 1_000 }
const TOUCH_MS = 1_000

export function createReplicator(
  context: ComponentContext<ReplicatorConfig>,
  options: Parts,
): Component<Replicator> {
  return new ReplicatorComponent(context, options)
}

class ReplicatorComponent implements Component<Replicator> {
  readonly #context: ComponentContext<ReplicatorConfig>
  readonly #options: Parts
  readonly #lanes: ReturnType<typeof resolveLanes>
  readonly api: Replicator
  readonly drainMs = DRAIN_MS
  #runtime: Runtime | undefined

  constructor(context: ComponentContext<ReplicatorConfig>, options: Parts) {
    this.#context = context
    this.#options = options
    this.#lanes = resolveLanes(options.lanes, context.config)
    const operations = context.operations(LIMITS)
    const isReady = (): boolean => this.#runtime?.notReady === undefined && this.#runtime !== undefined
    this.api = {
      ...context.base,
      get ready() {
        return isReady()
      },
      stats: () => this.#stats(),
      deadLetters: ({ limit = DEFAULT_LIMIT, signal } = {}) => {
        if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
          throw invalidArgument('limit', `a whole number from 1 to ${MAX_LIMIT}`, limit)
        return operations.run(DEAD_LETTERS, (call) => this.#open().sink.deadLetters(limit, call.signal), {
          signal,
        })
      },
      reload: (reason = 'asked for') => this.#open().reload(reason),
    }
  }

  async connect(signal: AbortSignal, progress: (fraction: number, note?: string) => void): Promise<void> {
    const [{ Runtime }, runtimeOptions] = await Promise.all([import('./runtime.ts'), this.#runtimeOptions()])
    signal.throwIfAborted()
    const runtime = new Runtime(runtimeOptions)
    const abort = (): void => void runtime.stop().catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    this.#runtime = runtime
    try {
      await runtime.start()
      signal.throwIfAborted()
      const told = tellProgress(runtime, signal, progress)
      await runtime.ready(signal)
      await told.done()
    } catch (error) {
      this.#runtime = undefined
      await runtime.stop()
      throw signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async check(signal: AbortSignal): Promise<void> {
    const runtime = this.#open()
    // The other process answers for the store; this one only has to reach it.
    if (runtime.role !== 'standby') {
      const why = runtime.notReady
      if (why !== undefined)
        throw new SluiceError('SLUICE_NOT_READY', `the replica is not ready: ${why}`, { retryable: true })
      // Without anything to store there is no probe either, and what follows asks the sink itself.
      if (runtime.breaker.state.kind !== 'closed' && runtime.lanes.held > 0) throw runtime.breaker.refusal()
      await runtime.source.check(signal)
      await runtime.sink.check(signal)
    }
  }

  async stopIntake(signal: AbortSignal): Promise<void> {
    await this.#runtime?.stopIntake(signal)
  }

  async drain(signal: AbortSignal): Promise<void> {
    await this.#runtime?.drain(signal)
  }

  async close(): Promise<void> {
    const runtime = this.#runtime
    this.#runtime = undefined
    await runtime?.stop()
  }

  inspect(): Readonly<Record<string, unknown>> {
    const runtime = this.#runtime
    if (runtime === undefined) return { role: 'idle', ready: false, lanes: {} }
    return {
      ...this.#stats(),
      lastError: runtime.lastError?.message ?? null,
      source: { ...runtime.source.inspect() },
      sink: { kind: runtime.sink.kind, ...runtime.sink.inspect() },
    }
  }

  #stats(): ReplicatorStats {
    return statsOf(this.#runtime)
  }

  #open(): Runtime {
    if (this.#runtime !== undefined) return this.#runtime
    throw new SluiceError('SLUICE_NOT_READY', `"${this.#context.name}" is not connected`, { retryable: true })
  }

  async #runtimeOptions(): Promise<RuntimeOptions> {
    const { config, name, appName, clock, random, log, metrics } = this.#context
    const context: PartContext = { name, appName, clock, random, log, metrics, lanes: this.#lanes.specs }
    return {
      context,
      source: this.#options.source ?? (await this.#source()),
      loader: this.#options.loader ?? (await this.#loader()),
      sink: this.#options.sink ?? (await this.#sink()),
      breakerThreshold: config.circuitBreakerThreshold,
      breakerTimeoutMs: config.circuitBreakerTimeout,
      maxLagMs: config.maxLag,
      reportMs: config.reportInterval,
      lanes: {
        shards: config.workers,
        batchSize: config.batchSize,
        batchTimeoutMs: config.batchTimeout,
        maxBatchChanges: Math.max(config.maxBatchSize, config.batchSize),
        maxBatchBytes: config.maxBatchBytes,
        maxInFlight: config.maxInFlight,
        writeTimeoutMs: config.writeTimeout,
        backoff: WRITE_BACKOFF,
        touchMs: TOUCH_MS,
        maxChanges: this.#lanes.maxChanges,
        maxLaneBytes: config.channelBytes,
      },
    }
  }

  async #source() {
    const { config } = this.#context
    if (config.sourceUrl === undefined) {
      throw new SluiceError('SLUICE_CONFIG', 'replicator.source_url is not set, and no source was given', {
        hint: 'Set REPLICATOR_SOURCE_URL, or hand a source to replicator().',
      })
    }
    const { webSocketSource } = await import('./websocket/source.ts')
    return webSocketSource({
      url: config.sourceUrl,
      apiKey: config.apiKey,
      apiKeyHeader: config.apiKeyHeader,
      pingInterval: config.pingInterval,
      maxPayload: config.maxMessageSize,
    })
  }

  async #loader() {
    const { config } = this.#context
    if (config.bulkUrl === undefined) return undefined
    const { httpLoader } = await import('./http/loader.ts')
    return httpLoader({
      url: config.bulkUrl,
      apiKey: config.apiKey,
      apiKeyHeader: config.apiKeyHeader,
      pageSize: config.pageSize,
    })
  }

  /** Redis where the app has it on a server, else the memory of this process. */
  async #sink() {
    const { config, log, name } = this.#context
    const redis = this.#context.required('redis') as Redis | undefined
    if (redis !== undefined && redis.status()['backend'] === 'server') {
      const { redisSink } = await import('./sinks/redis/index.ts')
      return redisSink({ redis, name: config.keyName, schema: config.schemaVersion })
    }
    log.warn(
      {},
      `${name}: there is no Redis server (REDIS_ADDR), so entities are kept in the memory of this process`,
    )
    const { memorySink } = await import('./sinks/memory/index.ts')
    return memorySink()
  }
}

/** Tells how far the load is, until it is ready. */
function tellProgress(
  runtime: Runtime,
  signal: AbortSignal,
  progress: (fraction: number, note?: string) => void,
): { done(): Promise<void> } {
  const over = new AbortController()
  const both = AbortSignal.any([signal, over.signal])
  const telling = (async () => {
    while (!both.aborted) {
      const { progress: load } = runtime
      if (load !== undefined) progress(fractionOf(load), `${load.phase}: ${load.rows} rows`)
      else progress(0, runtime.notReady ?? 'ready')
      await runtime.changed(both)
    }
  })().catch(() => {})
  return {
    done: async () => {
      over.abort()
      await telling
      progress(1, runtime.role === 'standby' ? 'standby' : 'ready')
    },
  }
}

/** The pages are nearly all of it; what follows has no measure of its own. */
function fractionOf(load: {
  readonly phase: string
  readonly rows: number
  readonly total: number | undefined
}): number {
  if (load.phase === 'begin') return 0
  if (load.phase === 'end') return 0.95
  return load.total === undefined || load.total === 0 ? 0.5 : Math.min(0.9, (0.9 * load.rows) / load.total)
}
