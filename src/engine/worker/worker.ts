/**
 * This process as the database knows it: a row in sluice.worker whose heartbeat says that it lives. Tasks and shards are
 * owned by that row's id; when others take it for dead, they free what it owned.
 *
 *     idle ──open──▶ registered (a lease) ──found dead──▶ lost ──▶ registered anew (another lease)
 *                                    └──close──▶ the row is marked dead, what it owned is given back
 *
 * A lease's signal aborts when the row was found dead: handlers that run under it must end, and what they answer
 * changes nothing any more, since every answer names its owner.
 */
import { hostname } from 'node:os'
import type { Clock, Timer } from '../../core/clock.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from '../database.ts'
import { BEAT_EVERY_MS } from './timing.ts'

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
  readonly log: Logger
  readonly appName: string
}

export class Worker {
  readonly #options: WorkerOptions
  readonly #watchers = new Set<(lease: Lease) => void>()
  #lease: OpenLease | undefined
  #timer: Timer | undefined
  #closed = false

  constructor(options: WorkerOptions) {
    this.#options = options
  }

  /** Undefined before `open`, and between a loss and the next registration. */
  get lease(): Lease | undefined {
    return this.#lease
  }

  /** Calls `fn` with each lease from now on, also with the one of now. The answer ends that. */
  onLease(fn: (lease: Lease) => void): () => void {
    this.#watchers.add(fn)
    if (this.#lease !== undefined) fn(this.#lease)
    return () => void this.#watchers.delete(fn)
  }

  async open(): Promise<void> {
    if (this.#lease !== undefined) return
    await this.#register()
    this.#beatLater()
  }

  /** Marks the row dead, so that others free at once what is still owned. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    const lease = this.#lease
    this.#lease = undefined
    if (lease === undefined) return
    lease.controller.abort(new SluiceError('SLUICE_SHUTDOWN', 'the worker is closing'))
    await this.#options.db.execute(
      `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute' where id = $1`,
      [lease.id],
      { label: 'sluice.leave', timeout: STATEMENT_TIMEOUT_MS },
    )
  }

  async #register(): Promise<void> {
    const { db, appName } = this.#options
    const row = await db.queryOne<{ id: string }>(
      `insert into sluice.worker (name, info) values ($1, $2) returning id`,
      [`${appName}@${hostname()}:${process.pid}`, JSON.stringify({ app: appName, pid: process.pid })],
      { label: 'sluice.register' },
    )
    const controller = new AbortController()
    this.#lease = { id: row!.id, signal: controller.signal, controller }
    for (const fn of this.#watchers) fn(this.#lease)
  }

  #beatLater(): void {
    if (this.#closed) return
    this.#timer = this.#options.clock.setTimer(() => void this.#beat(), BEAT_EVERY_MS)
  }

  async #beat(): Promise<void> {
    const { db, log } = this.#options
    const lease = this.#lease
    try {
      if (lease === undefined) await this.#register()
      else {
        const alive = await db.queryOne(
          'update sluice.worker set beat = clock_timestamp() where id = $1 and dead_at is null returning id',
          [lease.id],
          { label: 'sluice.beat', timeout: STATEMENT_TIMEOUT_MS },
        )
        if (alive === undefined && this.#lease === lease) {
          this.#lease = undefined
          lease.controller.abort(
            new SluiceError(
              'SLUICE_LEASE_LOST',
              'this process was taken for dead, and its work given to others',
            ),
          )
          await this.#register()
        }
      }
    } catch (error) {
      log.debug({ err: toError(error) }, 'a heartbeat failed')
    } finally {
      this.#beatLater()
    }
  }
}
