/**
 * The threads themselves, over piscina.
 *
 * There are as many slots for operations as there are places in threads, so that tasks queue before they get here, where
 * they have priorities, deadlines and a bound; piscina's own queue only holds those whose thread is just starting.
 *
 * With one task to a thread, an aborted task ends its thread and nothing else. With several, a task that passes its
 * deadline ends its thread too, for it may be looping and nobody else there would ever be heard of again; its neighbours
 * then fail with a retryable SLUICE_THREAD_CRASHED. A task that is only cancelled runs on there, unheard and in its place,
 * until that deadline.
 */
import { Piscina, queueOptionsSymbol } from 'piscina'
import { deriveController, onAbort, waitOrAbort } from '../../core/abort.ts'
import type { Clock, Timer } from '../../core/clock.ts'
import { hasCode, SluiceError, toError } from '../../core/errors.ts'
import { carrier } from '../../telemetry/context.ts'
import type { Call } from '../../telemetry/operate.ts'
import { classify, revive, type ThreadFailure } from './failure.ts'
import type { TaskMessage, TaskReply } from './message.ts'
import { Places } from './places.ts'
import type { ThreadsConfig } from './section.ts'
import type { TransferList } from './transfer.ts'

export interface ThreadPoolOptions {
  readonly config: ThreadsConfig
  readonly clock: Clock
  /** A thread ended that ran nothing, or ran something else than what failed. */
  readonly onIdleFailure: (error: Error) => void
  /** A task was ended by what its thread did. */
  readonly onFailure: (kind: ThreadFailure) => void
}

export interface Task {
  readonly url: URL
  /** Name of the exported function. */
  readonly name: string
  readonly data: unknown
  readonly transfer: TransferList
  /** In a process of its own instead of a thread. */
  readonly isolated: boolean
}

/** Where piscina put a task, undefined until it has; written by the balancer. */
interface Place {
  threadId: number | undefined
}

const RUNNER = new URL(import.meta.url.endsWith('.ts') ? './runner.ts' : './runner.js', import.meta.url).href

type Balancer = NonNullable<NonNullable<ConstructorParameters<typeof Piscina>[0]>['loadBalancer']>

export class ThreadPool {
  readonly #options: ThreadPoolOptions
  readonly #pool: Piscina<unknown, TaskReply>
  readonly #places: Places
  readonly #running = new Set<Promise<unknown>>()
  /** One for each child process that is not gone yet. */
  readonly #children = new Set<Promise<void>>()
  readonly #cutOff = new AbortController()
  #ping: Promise<unknown> | undefined
  #closed: SluiceError | undefined

  constructor(options: ThreadPoolOptions) {
    const { config } = options
    this.#options = options
    const places = config.maxThreads * config.tasksPerThread
    this.#places = new Places(places)
    this.#pool = new Piscina<unknown, TaskReply>({
      filename: RUNNER,
      minThreads: config.minThreads,
      maxThreads: config.maxThreads,
      concurrentTasksPerWorker: config.tasksPerThread,
      idleTimeout: config.idleTimeout,
      // The check's ping is not counted as a place.
      maxQueue: places + 1,
      // Waiting by Atomics stops the thread's event loop between tasks, and reached 11,500 tiny tasks a second where
      // messages with 50 tasks to a thread reached 92,000.
      atomics: 'disabled',
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(config.memoryLimit / 1_048_576) },
      recordTiming: false,
      loadBalancer: leastBusy(config.tasksPerThread),
    })
    this.#pool.on('error', (thrown: unknown) => options.onIdleFailure(toError(thrown)))
  }

  /** Threads that there are, starting ones included. */
  get threads(): number {
    return this.#pool.threads.length
  }
  get running(): number {
    return this.#running.size
  }

  /** Runs a task until it settles or the call's signal aborts. */
  run(task: Task, call: Call): Promise<unknown> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    const work = this.#run(task, call)
    this.#running.add(work)
    void work.catch(() => {}).finally(() => this.#running.delete(work))
    return work
  }

  /** Resolves when a thread has answered, or when all are busy, which is a sign of life too. */
  async ping(signal: AbortSignal): Promise<void> {
    if (this.#closed !== undefined) throw this.#closed
    if (this.#running.size >= this.#options.config.maxThreads) return
    // One at a time: those that nobody waits for any more would fill the queue of a pool that is stuck.
    this.#ping ??= this.#pool.run(undefined, { name: 'ping' }).finally(() => (this.#ping = undefined))
    await waitOrAbort(this.#ping, signal)
  }

  /** Lets what runs finish until the signal aborts, then ends every thread. Refuses tasks from now on. */
  async close(signal: AbortSignal): Promise<void> {
    this.#closed ??= new SluiceError('SLUICE_CLOSED', 'the thread pool was closed')
    try {
      await waitOrAbort(Promise.allSettled(this.#running), signal)
    } catch {
      // The deadline: what still runs is cut off below, and its callers are told so.
    }
    this.#cutOff.abort(this.#closed)
    await Promise.all([this.#pool.destroy(), Promise.allSettled(this.#running)])
    await Promise.all(this.#children)
  }

  async #run(task: Task, call: Call): Promise<unknown> {
    const reply = await (task.isolated ? this.#sendToChild(task, call) : this.#send(task, call))
    return reply.ok ? reply.value : Promise.reject(revive(reply))
  }

  /** The task's answer. Rejects for what became of its thread, never for the task's own failure. */
  async #send({ url, name, data, transfer }: Task, call: Call): Promise<TaskReply> {
    const { config, onFailure } = this.#options
    const message: TaskMessage = { url: url.href, name, data, carrier: carrier() }
    const place: Place = { threadId: undefined }
    const isShared = config.tasksPerThread > 1
    const turn = this.#places.take(call.signal)
    if (turn !== undefined) await turn
    let release: (() => void) | undefined
    try {
      this.#cutOff.signal.throwIfAborted()
      if (isShared) release = this.#guard(message, place, call)
      return await this.#pool.run(Object.assign(message, { [queueOptionsSymbol]: place }), {
        name: 'runTask',
        transferList: transfer as never,
        ...(isShared ? {} : { signal: call.signal }),
      })
    } catch (thrown) {
      if (call.signal.aborted) throw call.signal.reason
      if (this.#closed !== undefined) throw this.#closed
      const { kind, error } = classify(thrown, taskName(url, name), config.memoryLimit)
      onFailure(kind)
      throw error
    } finally {
      release?.()
      this.#places.giveBack()
    }
  }

  /** Sees to it that a task of a shared thread, cancelled or not, does not outlive its deadline. */
  #guard(message: TaskMessage, place: Place, call: Call): () => void {
    const { clock } = this.#options
    const deadline = clock.monotonic() + call.remainingMs
    let timer: Timer | undefined
    const release = onAbort(call.signal, (reason) => {
      // It waits for its thread to start: the thread will pass it over.
      if (place.threadId === undefined) message.isCancelled = true
      else if (hasCode(reason, 'SLUICE_TIMEOUT')) this.#endThread(place)
      else if (deadline < Infinity) {
        timer = clock.setTimer(() => this.#endThread(place), deadline - clock.monotonic())
      }
    })
    return () => {
      release()
      timer?.cancel()
    }
  }

  async #sendToChild({ url, name, data }: Task, call: Call): Promise<TaskReply> {
    const { runInChild } = await import('./child.ts')
    const message: TaskMessage = { url: url.href, name, data, carrier: carrier() }
    // At the deadline of `close` children are cut off as threads are.
    const { controller, release } = deriveController(call.signal, this.#cutOff.signal)
    try {
      const { signal } = controller
      return await runInChild({
        message,
        task: taskName(url, name),
        memoryLimitBytes: this.#options.config.memoryLimit,
        signal,
        onStart: (gone) => {
          this.#children.add(gone)
          void gone.then(() => this.#children.delete(gone))
        },
      })
    } catch (error) {
      if (call.signal.aborted) throw call.signal.reason
      if (this.#closed !== undefined) throw this.#closed
      this.#options.onFailure(kindOf(error))
      throw error
    } finally {
      release()
    }
  }

  #endThread(place: Place): void {
    const thread = this.#pool.threads.find((each) => each.threadId === place.threadId)
    // Its end is heard of by the pool, which fails what ran there and replaces it.
    void thread?.terminate()
  }
}

function kindOf(error: unknown): ThreadFailure {
  if (hasCode(error, 'SLUICE_THREAD_MEMORY')) return 'memory'
  return hasCode(error, 'SLUICE_INVALID_ARGUMENT') ? 'data' : 'crash'
}

function taskName(url: URL, name: string): string {
  return `task ${url.pathname.slice(url.pathname.lastIndexOf('/') + 1)} (${name})`
}

/** The thread with the fewest tasks that has a place; notes down which one it was. */
function leastBusy(tasksPerThread: number): Balancer {
  return (task, threads) => {
    let best: (typeof threads)[number] | null = null
    let fewest = tasksPerThread
    for (const thread of threads) {
      if (thread.currentUsage >= fewest) continue
      best = thread
      fewest = thread.currentUsage
      if (fewest === 0) break
    }
    const place = task[queueOptionsSymbol] as Place | null
    if (best !== null && place !== null) place.threadId = best.id
    return best
  }
}
