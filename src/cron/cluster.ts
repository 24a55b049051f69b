/**
 * Schedules of all processes on one database. There is no leader: whoever comes first decides on a slot and claims its
 * run, in one transaction; the row of the run, unique by name and slot, is the claim.
 *
 * Each process sleeps until its next schedule is due by the database's clock, wakes early when a hint tells of a change,
 * and at the poll interval in any case. A run belongs to the worker that claimed it: when that is found dead, the run is
 * failed or runs again, and whatever its process still says about it changes nothing.
 */
import { randomUUID } from 'node:crypto'
import type { ComponentContext } from '../app/component.ts'
import type { Postgres, Transaction } from '../components/postgres/api.ts'
import { Alarm } from '../core/alarm.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { engineOf, releaseEngine, type Engine } from '../engine/engine.ts'
import { letGoWhenIdle } from '../engine/let-go.ts'
import { moment } from '../engine/moments.ts'
import type { Lease } from '../engine/worker/worker.ts'
import type { CronRun, ScheduleStatus, StartedRun } from './api.ts'
import { ClusterCalls } from './cluster-calls.ts'
import type { Entry, Plan } from './entry.ts'
import { Expressions } from './expressions.ts'
import type { LocalOptions } from './local.ts'
import type { Invoke, Outcome } from './runner.ts'
import { RunEnds } from './run-ends.ts'
import type { Scheduler } from './scheduler.ts'
import type { CronConfig } from './section.ts'
import { FINISH, FREE_LOST, GIVE_BACK, PRUNE, UNTIL_NEXT } from './statements.ts'
import { takeTurn, type Claimed } from './turn.ts'
import { TurnHealth } from './turn-health.ts'

export interface ClusterOptions extends LocalOptions {
  readonly context: ComponentContext<CronConfig>
  readonly db: Postgres
  readonly pollMs: number
}

export const TOPIC = 'cron'
const LEAST_WAIT_MS = 20

export class ClusterScheduler implements Scheduler {
  readonly #options: ClusterOptions
  readonly #entries = new Map<string, Entry>()
  /** Entries that the database has not been told of. */
  readonly #fresh = new Set<Entry>()
  /** Ids of runs of this process, until their end is written down. */
  readonly #own = new Set<string>()
  readonly #engine: Engine
  readonly #calls: ClusterCalls
  readonly #expressions: Expressions
  readonly #health: TurnHealth
  readonly #ends: RunEnds
  readonly #stopping = new AbortController()
  #loop: Promise<void> | undefined
  #offHint: (() => void) | undefined
  #released = false
  readonly #alarm: Alarm

  constructor(options: ClusterOptions) {
    const { db, context } = options
    const { clock, random, log, metrics, appName } = context
    this.#options = options
    this.#engine = engineOf({ db, clock, random, log, metrics, appName })
    this.#calls = new ClusterCalls(this.#engine)
    this.#expressions = new Expressions(clock, log, options.metrics.unreadable)
    this.#health = new TurnHealth(clock, log, options.pollMs)
    this.#ends = new RunEnds({ db, clock, random, log, isOver: () => this.#released })
    this.#alarm = new Alarm(clock)
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.#engine.open(signal)
    signal.throwIfAborted()
    await this.#tell()
    this.#health.succeeded()
    this.#offHint ??= this.#engine.wake.on(TOPIC, () => this.#alarm.ring())
    this.#loop ??= this.#run()
  }

  async check(signal: AbortSignal): Promise<void> {
    this.#health.check()
    this.#ends.check()
    await this.#engine.tables.check(signal)
  }

  add(entry: Entry): void {
    this.#entries.set(entry.name, entry)
    this.#fresh.add(entry)
    this.#alarm.ring()
  }

  async reschedule(name: string, plan: Plan): Promise<void> {
    await this.#calls.reschedule(name, plan)
  }

  async remove(name: string): Promise<boolean> {
    this.#entries.delete(name)
    return this.#calls.remove(name)
  }

  pause(name: string): Promise<void> {
    return this.#calls.pause(name, true)
  }

  resume(name: string): Promise<void> {
    return this.#calls.pause(name, false)
  }

  async runNow(name: string, key: string | undefined): Promise<StartedRun> {
    await this.#tell()
    return this.#calls.runNow(name, key, randomUUID())
  }

  history(name: string, limit: number): Promise<readonly CronRun[]> {
    return this.#calls.history(name, limit)
  }

  async schedules(): Promise<readonly ScheduleStatus[]> {
    const all = await this.#calls.schedules()
    for (const each of all) if (this.#entries.has(each.name)) this.#expressions.look(each)
    this.#expressions.keepOnly(all.map(({ name }) => name))
    return all.map((each) => ({ ...each, problem: this.#expressions.problem(each.name) }))
  }

  snapshot(): readonly ScheduleStatus[] {
    const now = this.#options.clock.now()
    return [...this.#entries.values()].map(({ name, plan, enabled }) => {
      const seen = this.#calls.seen.get(name)
      const next = seen?.nextRun ?? (enabled ? plan.expression.next(now) : undefined)
      return {
        name,
        expression: plan.expression.text,
        timezone: plan.expression.timezone,
        overlap: plan.overlap,
        missed: plan.missed,
        paused: seen?.paused ?? false,
        nextRun: typeof next === 'number' ? new Date(next) : next,
        lastRun: seen?.lastRun,
        lastState: seen?.lastState,
        running: this.#options.runner.running(name),
        problem: this.#expressions.problem(name),
      }
    })
  }

  async stopIntake(): Promise<void> {
    this.#stopping.abort(new SluiceError('SLUICE_SHUTDOWN', 'the scheduler is stopping'))
    await this.#loop
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#released) return
    this.#released = true
    await this.stopIntake()
    this.#offHint?.()
    try {
      await this.#options.runner.close(signal, this.#options.shutdownMs)
    } finally {
      await releaseEngine(this.#engine)
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      let waitMs = this.#options.pollMs
      try {
        await this.#tell()
        await this.#tidy()
        const retryMs = await this.#turn(signal)
        waitMs = Math.min(waitMs, await this.#untilNext(retryMs))
        await this.schedules()
      } catch (error) {
        if (!signal.aborted) {
          this.#options.metrics.turnsFailed.add()
          this.#health.failed(toError(error))
        }
      }
      await this.#alarm.wait(waitMs, signal)
    }
  }

  /** Milliseconds until a run is tried again. */
  async #turn(signal: AbortSignal): Promise<number> {
    const { db, worker } = this.#engine
    const { lease } = worker
    const { runner, log, metrics } = this.#options
    if (lease === undefined || lease.signal.aborted) return Infinity
    if (this.#entries.size === 0) {
      this.#health.succeeded()
      return Infinity
    }
    const names = [...this.#entries.keys()]
    const turn = { worker: lease.id, names, room: runner.free, expressions: this.#expressions, log, signal }
    const { claimed, skipped, retryMs } = await takeTurn(db, turn)
    this.#health.succeeded()
    for (const { name, skipped: times } of skipped) metrics.ran(name, 'skipped', times)
    if (claimed.length > 0) moment('cron.claimed', claimed.length)
    for (const run of claimed) this.#start(run, lease)
    return retryMs ?? Infinity
  }

  #start(run: Claimed, lease: Lease): void {
    const entry = this.#entries.get(run.name)
    // Removed while it was claimed: it is given back with what nobody here knows of.
    if (entry === undefined) return
    this.#own.add(run.id)
    const end = async (outcome: Outcome): Promise<void> => {
      moment('cron.ran', 1)
      try {
        await this.#finish(entry, run, lease, outcome)
      } finally {
        this.#own.delete(run.id)
        this.#alarm.ring()
      }
    }
    const { id, slot, attempt, late } = run
    const request = { id, entry, slot, attempt, lateMs: late ?? undefined, signal: lease.signal }
    this.#options.runner.run(
      request,
      end,
      entry.transaction ? this.#inTransaction(entry, run, lease) : undefined,
    )
  }

  /** The end of the run commits with what the function did, or neither does. */
  #inTransaction(entry: Entry, run: Claimed, lease: Lease): Invoke {
    return async (call, signal) => {
      await this.#engine.db.transaction(
        async (tx: Transaction) => {
          await call(tx)
          const finish = tx.queryOne(FINISH, [run.id, lease.id, 'done', null])
          const [mine] = await Promise.all([finish, letGoWhenIdle(tx)])
          if (mine === undefined)
            throw new SluiceError('SLUICE_LEASE_LOST', 'the run was given to another process')
          moment('cron.committing', 1)
        },
        { label: 'sluice.cron.run', timeout: entry.timeoutMs, signal, retries: 0 },
      )
    }
  }

  async #finish(entry: Entry, run: Claimed, lease: Lease, outcome: Outcome): Promise<void> {
    await this.#ends.write(entry, run, lease, outcome)
    moment('cron.finished', 1)
    this.#engine.wake.signal(TOPIC)
    await this.#engine.db.execute(PRUNE, [run.name, this.#options.historySize], {
      label: 'sluice.cron.prune',
    })
  }

  /** Tells the database of new schedules; those that it knows stay what others made of them since. */
  async #tell(): Promise<void> {
    for (const entry of this.#fresh) {
      await this.#calls.register(entry)
      this.#fresh.delete(entry)
    }
  }

  async #tidy(): Promise<void> {
    const { db, worker, wake } = this.#engine
    const lost = await db.query<{ name: string; state: string }>(FREE_LOST, [], { label: 'sluice.cron.lost' })
    for (const { name, state } of lost) {
      const then = state === 'queued' ? 'it runs again' : 'it is marked failed'
      this.#options.metrics.ran(name, 'lost')
      this.#options.log.warn({ schedule: name }, `the process of a run of "${name}" is lost: ${then}`)
    }
    if (lost.length > 0) wake.signal(TOPIC)
    if (worker.lease !== undefined)
      await db.query(GIVE_BACK, [worker.lease.id, [...this.#own], [...this.#entries.keys()]], {
        label: 'sluice.cron.own',
      })
  }

  async #untilNext(retryMs: number): Promise<number> {
    // What cannot be read stays due: it is looked at again with each poll, and must not keep this process awake.
    const { unreadable } = this.#expressions
    const names = [...this.#entries.keys()].filter((name) => !unreadable.has(name))
    const row = await this.#engine.db.queryOne<{ ms: number | null }>(UNTIL_NEXT, [names], {
      label: 'sluice.cron.next',
    })
    // A millisecond later, so that the database's clock is there by then.
    return Math.max(LEAST_WAIT_MS, Math.min(row?.ms ?? Infinity, retryMs) + 1)
  }
}
