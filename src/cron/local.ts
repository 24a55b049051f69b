/**
 * Schedules of this process alone: each process that has them runs them. Histories and keys are in memory, and gone with
 * it.
 *
 * The wall clock decides. Timers run for 30 seconds at most, so that a clock that jumps is noticed by then. A jump ahead
 * makes slots due, by the policy for missed ones; after a jump back of up to three hours no slot runs twice, after a
 * longer one the schedules begin anew at the new time.
 */
import type { Clock, Timer } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import type { CronRun, RunState, ScheduleStatus, StartedRun } from './api.ts'
import { dueSlots, MAX_CAUGHT_UP } from './due.ts'
import type { Entry, Plan } from './entry.ts'
import type { CronMetrics } from './metrics.ts'
import type { Outcome, Runner } from './runner.ts'
import { unknownSchedule, type Scheduler } from './scheduler.ts'

const LONGEST_WAIT_MS = 30_000
const SET_BACK_MS = 3 * 3_600_000
/** Runs that wait of one schedule. */
const MAX_QUEUED = MAX_CAUGHT_UP

interface Run {
  readonly id: string
  readonly slot: number
  readonly key: string | undefined
  /** Asked for, not due. */
  readonly manual: boolean
  state: RunState
  startedAt?: number
  finishedAt?: number
  durationMs?: number
  error?: string
}

interface Schedule {
  readonly entry: Entry
  plan: Plan
  nextAt: number | undefined
  paused: boolean
  running: number
  readonly queue: Run[]
  /** The oldest first. */
  readonly history: Run[]
  lastRunAt: number | undefined
}

export interface LocalOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: CronMetrics
  readonly runner: Runner
  readonly historySize: number
  readonly shutdownMs: number
}

export class LocalScheduler implements Scheduler {
  readonly #options: LocalOptions
  readonly #schedules = new Map<string, Schedule>()
  #timer: Timer | undefined
  #state: 'idle' | 'open' | 'stopped' = 'idle'
  #lastId = 0
  #seen: { readonly wall: number; readonly monotonic: number }

  constructor(options: LocalOptions) {
    this.#options = options
    this.#seen = this.#now()
  }

  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#state === 'idle') this.#state = 'open'
    this.#seen = this.#now()
    this.#tick()
  }

  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
  }

  add(entry: Entry): void {
    const nextAt = entry.enabled ? entry.plan.expression.next(this.#options.clock.now()) : undefined
    this.#schedules.set(entry.name, {
      entry,
      plan: entry.plan,
      nextAt,
      paused: false,
      running: 0,
      queue: [],
      history: [],
      lastRunAt: undefined,
    })
    this.#arm()
  }

  async reschedule(name: string, plan: Plan): Promise<void> {
    const schedule = this.#find(name)
    schedule.plan = plan
    schedule.nextAt = plan.expression.next(this.#options.clock.now())
    this.#arm()
  }

  async remove(name: string): Promise<boolean> {
    return this.#schedules.delete(name)
  }

  async pause(name: string): Promise<void> {
    this.#find(name).paused = true
  }

  async resume(name: string): Promise<void> {
    this.#find(name).paused = false
    this.#tick()
  }

  async runNow(name: string, key: string | undefined): Promise<StartedRun> {
    const schedule = this.#find(name)
    const earlier = key === undefined ? undefined : schedule.history.find((run) => run.key === key)
    if (earlier !== undefined) return { id: earlier.id, created: false }
    if (schedule.queue.length >= MAX_QUEUED) {
      throw new SluiceError('SLUICE_POOL_FULL', `schedule "${name}": ${MAX_QUEUED} runs wait already`)
    }
    const run = this.#record(schedule, this.#options.clock.now(), { manual: true, key })
    schedule.queue.push(run)
    this.#startQueued(schedule)
    return { id: run.id, created: true }
  }

  async history(name: string, limit: number): Promise<readonly CronRun[]> {
    return this.#find(name)
      .history.slice(-limit)
      .toReversed()
      .map((run) => shown(name, run))
  }

  async schedules(): Promise<readonly ScheduleStatus[]> {
    return this.snapshot()
  }

  snapshot(): readonly ScheduleStatus[] {
    return [...this.#schedules].map(([name, { plan, paused, nextAt, running, lastRunAt, history }]) => ({
      name,
      expression: plan.expression.text,
      timezone: plan.expression.timezone,
      overlap: plan.overlap,
      missed: plan.missed,
      paused,
      nextRun: paused || nextAt === undefined ? undefined : new Date(nextAt),
      lastRun: lastRunAt === undefined ? undefined : new Date(lastRunAt),
      lastState: history.findLast(({ state }) => state === 'done' || state === 'failed')?.state,
      running,
      problem: undefined,
    }))
  }

  async stopIntake(): Promise<void> {
    this.#state = 'stopped'
    this.#timer?.cancel()
    for (const schedule of this.#schedules.values()) {
      for (const run of schedule.queue.splice(0)) this.#skip(schedule, run, 'the process is shutting down')
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.stopIntake()
    await this.#options.runner.close(signal, this.#options.shutdownMs)
  }

  #tick(): void {
    if (this.#state !== 'open') return
    const now = this.#options.clock.now()
    if (this.#wasSetBack()) {
      this.#options.log.warn({}, 'the clock went back by more than three hours: schedules begin anew')
      for (const each of this.#schedules.values())
        if (each.entry.enabled) each.nextAt = each.plan.expression.next(now)
    }
    for (const schedule of this.#schedules.values()) {
      if (!schedule.paused && schedule.nextAt !== undefined && schedule.nextAt <= now)
        this.#fire(schedule, now)
    }
    this.#arm()
  }

  #fire(schedule: Schedule, now: number): void {
    const { plan, entry } = schedule
    const due = dueSlots(plan.expression, schedule.nextAt ?? now, now, plan.missed)
    schedule.nextAt = due.next
    if (due.truncated) {
      this.#options.log.warn(
        { schedule: entry.name },
        `more than ${MAX_CAUGHT_UP} slots were missed; the rest is left out`,
      )
    }
    // Slots that are caught up with are meant to run each, one after another.
    const catchesUp = due.run.length > 1
    for (const slot of due.run) {
      const run = this.#record(schedule, slot, { manual: false, key: undefined })
      const busy = schedule.running + schedule.queue.length > 0
      if (plan.overlap === 'skip' && busy && !catchesUp)
        this.#skip(schedule, run, 'an earlier run was under way')
      else if (schedule.queue.length >= MAX_QUEUED)
        this.#skip(schedule, run, `${MAX_QUEUED} runs wait already`)
      else schedule.queue.push(run)
    }
    this.#startQueued(schedule)
  }

  #startQueued(schedule: Schedule): void {
    if (this.#state !== 'open') return
    while (schedule.queue.length > 0 && (schedule.plan.overlap === 'allow' || schedule.running === 0)) {
      this.#start(schedule, schedule.queue.shift()!)
    }
  }

  #start(schedule: Schedule, run: Run): void {
    const { clock, runner } = this.#options
    const began = clock.monotonic()
    run.state = 'running'
    run.startedAt = schedule.lastRunAt = clock.now()
    schedule.running++
    const slot = new Date(run.slot)
    const lateMs = run.manual ? undefined : run.startedAt - run.slot
    const end = async (outcome: Outcome): Promise<void> => {
      run.state = outcome.state
      run.finishedAt = clock.now()
      run.durationMs = clock.monotonic() - began
      if (outcome.state === 'failed') run.error = outcome.error
      schedule.running--
      this.#startQueued(schedule)
    }
    runner.run({ id: run.id, entry: schedule.entry, slot, attempt: 1, lateMs }, end)
  }

  #record(schedule: Schedule, slot: number, asked: Pick<Run, 'manual' | 'key'>): Run {
    const run: Run = { id: String(++this.#lastId), slot, ...asked, state: 'queued' }
    const { history } = schedule
    history.push(run)
    // What is still under way is never forgotten; its number is bounded by itself.
    while (history.length > this.#options.historySize && history[0]?.finishedAt !== undefined) history.shift()
    return run
  }

  #skip({ entry }: Schedule, run: Run, error: string): void {
    this.#options.metrics.ran(entry.name, 'skipped')
    run.state = 'skipped'
    run.error = error
    run.finishedAt = this.#options.clock.now()
  }

  #arm(): void {
    if (this.#state !== 'open') return
    this.#timer?.cancel()
    const now = this.#options.clock.now()
    let wait = LONGEST_WAIT_MS
    for (const { paused, nextAt } of this.#schedules.values()) {
      if (!paused && nextAt !== undefined) wait = Math.min(wait, Math.max(0, nextAt - now))
    }
    this.#timer = this.#options.clock.setTimer(() => this.#tick(), wait)
  }

  #wasSetBack(): boolean {
    const { wall, monotonic } = this.#seen
    const now = this.#now()
    this.#seen = now
    return now.wall - wall - (now.monotonic - monotonic) < -SET_BACK_MS
  }

  #now(): { readonly wall: number; readonly monotonic: number } {
    const { clock } = this.#options
    return { wall: clock.now(), monotonic: clock.monotonic() }
  }

  #find(name: string): Schedule {
    const schedule = this.#schedules.get(name)
    if (schedule === undefined) throw unknownSchedule(name, this.#schedules.keys())
    return schedule
  }
}

function shown(name: string, run: Run): CronRun {
  return {
    id: run.id,
    name,
    slot: new Date(run.slot),
    key: run.key,
    state: run.state,
    attempt: run.startedAt === undefined ? 0 : 1,
    startedAt: run.startedAt === undefined ? undefined : new Date(run.startedAt),
    finishedAt: run.finishedAt === undefined ? undefined : new Date(run.finishedAt),
    durationMs: run.durationMs,
    error: run.error,
  }
}
