/**
 * The durable engine of one database in this process: its tables brought up to date, this process registered as a
 * worker, hints between workers. Jobs, events, cron and audit of the same database share one; the last that lets go of
 * it closes it.
 */
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metric.ts'
import type { EngineDatabase } from './database.ts'
import { Facts } from './facts.ts'
import { addOwnChores, Chores } from './maintenance.ts'
import { migrateEngine } from './migrate.ts'
import { Queues } from './queues.ts'
import { repairRestored } from './restore.ts'
import { Tables } from './tables.ts'
import { Taken } from './taken.ts'
import { Holders } from './tasks/holders.ts'
import { Turns } from './tasks/lone.ts'
import { CHANNEL, Wake } from './wake.ts'
import { Worker } from './worker/worker.ts'

export interface EngineOptions {
  readonly db: EngineDatabase
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  readonly appName: string
  /** Send and hear notifications. @default true */
  readonly notify?: boolean
}

export class Engine {
  readonly #options: EngineOptions
  readonly db: EngineDatabase
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  readonly tables: Tables
  readonly queues: Queues
  readonly wake: Wake
  readonly worker: Worker
  readonly chores: Chores
  readonly facts: Facts
  readonly holders = new Holders()
  readonly taken = new Taken()
  /** Of tasks that may have ended their process. */
  readonly lone = new Turns()
  #users = 0
  #opening: Promise<void> | undefined
  #closing: Promise<void> | undefined

  constructor(options: EngineOptions) {
    const { db, clock, random, metrics, appName } = options
    this.#options = options
    this.db = db
    this.clock = clock
    this.random = random
    // Several components share it; whoever came first must not sign what it does for all of them.
    const log = options.log.child({ component: db.name })
    this.log = log
    this.metrics = metrics
    this.tables = new Tables(db)
    this.queues = new Queues(db)
    this.wake = new Wake(db, clock, log)
    this.worker = new Worker({
      db,
      clock,
      random,
      log,
      appName,
      channel: (options.notify ?? true) ? CHANNEL : undefined,
      tables: () => this.tables.own,
      onFreed: (topics) => {
        for (const topic of topics) this.wake.signal(topic)
      },
    })
    this.chores = new Chores({ db, clock, random, log })
    addOwnChores(this.chores, db)
    this.facts = new Facts({ db, clock, random, log, metrics, beatAgeMs: () => this.worker.beatAgeMs })
  }

  /** Resolves when it works. May be called again after it rejected, and by everyone who uses it. */
  open(signal: AbortSignal): Promise<void> {
    this.#opening ??= this.#open(signal).catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  retain(): void {
    this.#users++
  }

  /** Closes it when nobody else uses it. `onLast` is called at once where that is so. */
  release(onLast: () => void = () => {}): Promise<void> {
    if (--this.#users > 0) return Promise.resolve()
    onLast()
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #open(signal: AbortSignal): Promise<void> {
    await migrateEngine(this.db, signal)
    await repairRestored(this.db, this.log, signal)
    await this.tables.remember()
    signal.throwIfAborted()
    await this.wake.open({ notify: this.#options.notify ?? true })
    await this.worker.open(signal)
    this.chores.open()
    this.facts.open()
  }

  async #close(): Promise<void> {
    await this.#opening?.catch(() => {})
    await this.chores.close(new SluiceError('SLUICE_SHUTDOWN', 'the engine is closing'))
    await this.facts.close()
    const results = await Promise.allSettled([this.wake.close(), this.worker.close()])
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }
}

/** Engines by database: a weak map, so that an app and its database that are let go take their engine along. */
const engines = new WeakMap<EngineDatabase, Engine>()

/** The engine of the database, made with these options by the first who asks. */
export function engineOf(options: EngineOptions): Engine {
  let engine = engines.get(options.db)
  if (engine === undefined) engines.set(options.db, (engine = new Engine(options)))
  engine.retain()
  return engine
}

/** Gives it back; the next who asks gets a new one when this was the last user. */
export function releaseEngine(engine: Engine): Promise<void> {
  // Forgotten before it begins to close, so that nobody is handed one that closes.
  return engine.release(() => {
    if (engines.get(engine.db) === engine) engines.delete(engine.db)
  })
}
