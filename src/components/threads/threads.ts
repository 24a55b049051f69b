/** The threads component: CPU work off the event loop. */
import type { Component, ComponentContext, ComponentDefinition } from '../../app/component.ts'
import type { Duration } from '../../core/duration.ts'
import { SluiceError } from '../../core/errors.ts'
import type { OperationSpec } from '../../telemetry/operate.ts'
import type { Threads } from './api.ts'
import type { ThreadFailure } from './failure.ts'
import type { Task, ThreadPool } from './pool.ts'
import { threadsSection, type ThreadsConfig } from './section.ts'

/** Options in code; each wins over environment and file. Durations are milliseconds or text such as `'5s'`. */
export interface ThreadsOptions {
  /** Threads at most. @default as many as there are processors */
  readonly maxThreads?: number
  /** Threads that stay when there is nothing to do. @default 1 */
  readonly minThreads?: number
  /** Tasks that may wait for a thread. @default 1000 */
  readonly maxWaiting?: number
  /** Tasks that a thread is handed at once; more than one is for tiny tasks only. @default 1 */
  readonly tasksPerThread?: number
  /** Limit of a task, waiting included. @default '30s' */
  readonly taskTimeout?: Duration
  /** How long a thread beyond the minimum may be idle. @default '30s' */
  readonly idleTimeout?: Duration
  /** JavaScript heap of each thread. @default '512mb' */
  readonly memoryLimit?: number | string
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

const RUN: OperationSpec = { name: 'run', idempotent: false }
const NO_TRANSFER: Task['transfer'] = []

/** A thread pool for `createApp`: bounded, cancellable, and it survives what a task does to its thread. */
export function threads(
  options: ThreadsOptions = {},
): ComponentDefinition<Threads, typeof threadsSection.fields> {
  const { dependsOn = [], ...overrides } = options
  return {
    kind: 'threads',
    section: threadsSection,
    overrides,
    dependsOn,
    workers: 10,
    connectTimeoutMs: 30_000,
    create: createThreads,
  }
}

function createThreads(context: ComponentContext<ThreadsConfig>): Component<Threads> {
  const { config, clock, base, log, metrics, name } = context
  const ended: Record<ThreadFailure, number> = { memory: 0, crash: 0, data: 0 }
  let idleFailures = 0
  let pool: ThreadPool | undefined
  const failures = metrics.counter('sluice_threads_failed_total', 'Tasks that were ended by their thread.')
  const operations = context.operations({
    timeoutMs: config.taskTimeout,
    maxConcurrent: config.maxThreads * config.tasksPerThread,
    maxWaiting: config.maxWaiting,
    raise: 'maxWaiting (THREADS_MAX_WAITING)',
    // What one task does to its thread says nothing about the next.
    breakerThreshold: 0,
    breakerResetMs: 0,
    retries: 0,
  })
  const openPool = (): ThreadPool => {
    if (pool !== undefined) return pool
    throw new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, { retryable: true })
  }
  const api: Threads = {
    ...base,
    run<Result>(...[url, data, options = {}]: Parameters<Threads['run']>) {
      return operations.run<Result>(
        RUN,
        (call) => {
          checkUrl(url)
          const { name: fn = 'run', transfer = NO_TRANSFER, isolated = false } = options
          const task: Task = { url, name: fn, data, transfer, isolated }
          return openPool().run(task, call) as Promise<Result>
        },
        options,
      )
    },
  }
  return {
    api,
    async connect(signal) {
      const { ThreadPool } = await import('./pool.ts')
      signal.throwIfAborted()
      const opened = new ThreadPool({
        config,
        clock,
        onIdleFailure(error) {
          idleFailures++
          log.warn({ err: error }, `${name}: a thread ended`)
        },
        onFailure(kind) {
          ended[kind]++
          failures.with({ component: name, reason: kind }).add()
        },
      })
      try {
        await opened.ping(signal)
      } catch (error) {
        await opened.close(AbortSignal.abort())
        throw error
      }
      pool = opened
    },
    check: (signal) => openPool().ping(signal),
    async close(signal) {
      await pool?.close(signal)
    },
    inspect: () => ({
      threads: pool?.threads ?? 0,
      maxThreads: config.maxThreads,
      tasks: pool?.running ?? 0,
      crashed: ended.crash,
      outOfMemory: ended.memory,
      idleFailures,
    }),
  }
}

function checkUrl(url: unknown): void {
  if (url instanceof URL && url.protocol === 'file:') return
  const got = url instanceof URL ? url.protocol : typeof url
  throw new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `task: expected a file: URL such as new URL('./task.ts', import.meta.url), got ${got}`,
  )
}
