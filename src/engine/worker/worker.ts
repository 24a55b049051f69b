/**
 * This process as the database knows it: a row in sluice.worker whose heartbeat says that it lives. Tasks and shards are
 * owned by that row's id; when others take it for dead, they free what it owned.
 *
 *     idle ──open──▶ registered (a lease) ──found dead──▶ lost ──▶ registered anew (another lease)
 *                                    └──close──▶ the row is marked dead, what it owned is given back
 *
 * The heartbeat is a thread's (heart.ts), so that the lease outlives a blocked event loop. A lease's signal aborts when
 * the row was found dead: handlers that run under it must end, and what they answer changes nothing any more, since
 * every answer names its owner.
 */
import { hostname } from 'node:os'
import { onAbort } from '../../core/abort.ts'
import type { Clock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { HeartHost, leaseLost } from './heart-host.ts'
import type { FromHeart } from './heart-messages.ts'
import { LEAVE } from './liveness.ts'

export interface Lease {
  /** Id of the row in sluice.worker. */
  readonly id: string
  /** Aborts with SLUICE_LEASE_LOST, or with SLUICE_SHUTDOWN when the worker closes. */
  readonly signal: AbortSignal
}

interface OpenLease extends Lease {
  readonly controller: AbortController
}

export interface WorkerOptions {
  readonly db: EngineDatabase
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly appName: string
  /** Which tables these are (../tables.ts): the worker lives in no others. @default any */
  readonly tables?: () => string | undefined
  /** Channel on which other processes are told of tasks that were freed. */
  readonly channel: string | undefined
  /** Hints: what a dead worker owned is free. Other processes have been told. */
  readonly onFreed: (topics: readonly string[]) => void
}

export class Worker {
  readonly #options: WorkerOptions
  readonly #watchers = new Set<(lease: Lease) => void>()
  #lease: OpenLease | undefined
  #heart: HeartHost | undefined
  #onFirst: PromiseWithResolvers<void> | undefined
  #lastFailure: Error | undefined

  constructor(options: WorkerOptions) {
    this.#options = options
  }

  /** Undefined before `open`, and between a loss and the next registration. */
  get lease(): Lease | undefined {
    return this.#lease
  }

  /** Milliseconds since the last heartbeat; undefined before the first. */
  get beatAgeMs(): number | undefined {
    return this.#heart?.beatAgeMs
  }

  /** Calls `fn` with each lease from now on, also with the one of now. The answer ends that. */
  onLease(fn: (lease: Lease) => void): () => void {
    this.#watchers.add(fn)
    if (this.#lease !== undefined) fn(this.#lease)
    return () => void this.#watchers.delete(fn)
  }

  /** Resolves when the row is there and beats. Rejects when `signal` aborts first; then it may be opened again. */
  async open(signal?: AbortSignal): Promise<void> {
    if (this.#heart !== undefined) return
    const { db, clock, random, log, appName, channel, tables } = this.#options
    signal?.throwIfAborted()
    const heart = new HeartHost({
      db,
      clock,
      random,
      log,
      channel,
      name: `${appName}@${hostname()}:${process.pid}`,
      info: JSON.stringify({ app: appName, pid: process.pid }),
      tables: tables?.(),
      id: () => this.#lease?.id,
      on: (message) => this.#on(message),
    })
    const first = Promise.withResolvers<void>()
    const release = onAbort(signal, () => first.reject(this.#lastFailure ?? signal?.reason))
    // The thread alone does not keep the process alive; who waits for it does.
    const alive = setInterval(() => {}, 60_000)
    this.#heart = heart
    this.#onFirst = first
    try {
      heart.start()
      await first.promise
    } catch (error) {
      this.#heart = undefined
      await heart.stop()
      throw error
    } finally {
      clearInterval(alive)
      release()
      this.#onFirst = undefined
    }
  }

  /** Marks the row dead, so that others free at once what is still owned. */
  async close(): Promise<void> {
    const lease = this.#lease
    const heart = this.#heart
    this.#lease = undefined
    this.#heart = undefined
    lease?.controller.abort(new SluiceError('SLUICE_SHUTDOWN', 'the worker is closing'))
    if ((await heart?.stop()) !== false || lease === undefined) return
    await this.#options.db.execute(LEAVE, [lease.id, this.#options.tables?.() ?? null], {
      label: 'sluice.leave',
      timeout: STATEMENT_TIMEOUT_MS,
    })
  }

  #on(message: FromHeart): void {
    const { log, onFreed } = this.#options
    switch (message.kind) {
      case 'registered':
        this.#register(message.id)
        break
      case 'lost':
        this.#lose(message.id, message.why)
        break
      case 'buried':
        for (const worker of message.workers) {
          log.warn({ worker: worker.id, name: worker.name }, 'a worker died; its work is given to others')
        }
        break
      case 'freed':
        if (message.freed + message.dead > 0) {
          log.warn({ freed: message.freed, dead: message.dead }, 'tasks of a worker that died were freed')
        }
        onFreed(message.topics)
        break
      case 'failing':
        this.#lastFailure = message.error
        // The first is told, then one in ten: the component says for itself that its server is away.
        if (message.failures % 10 === 1) log.warn({ err: message.error }, 'the heartbeat was interrupted')
        break
      case 'left':
        break
    }
  }

  #register(id: string): void {
    if (this.#heart === undefined || this.#lease?.id === id) return
    const controller = new AbortController()
    this.#lease = { id, signal: controller.signal, controller }
    this.#onFirst?.resolve()
    for (const fn of this.#watchers) fn(this.#lease)
  }

  #lose(id: string, why: 'dead' | 'silence'): void {
    const lease = this.#lease
    if (lease?.id !== id) return
    this.#lease = undefined
    this.#options.log.error({ worker: id, why }, 'the lease of this process was lost')
    lease.controller.abort(leaseLost(why))
  }
}
