/**
 * The cron component. Schedules are checked and remembered at once; when they run is decided by a scheduler, imported by
 * `connect`: the one of the cluster where there is a database, else the one of this process.
 */
import type { Component, ComponentContext } from '../app/component.ts'
import { checkOptionNames } from '../config/known-options.ts'
import { invalidArgument, SluiceError } from '../core/errors.ts'
import type { Postgres } from '../components/postgres/api.ts'
import type { AsyncResult } from '../core/async-result.ts'
import type { OperationLimits, OperationSpec } from '../telemetry/operate.ts'
import type { Cron, CronHandler, HandleOptions } from './api.ts'
import { checkKey, checkName, entryOf, planOf, type Entry, type Plan } from './entry.ts'
import type { Scheduler } from './scheduler.ts'
import type { CronConfig } from './section.ts'

const LIMITS: OperationLimits = {
  timeoutMs: 30_000,
  maxConcurrent: 100,
  maxWaiting: 10_000,
  breakerThreshold: 0,
  breakerResetMs: 0,
  retries: 0,
}
const PLAN_OPTIONS = ['timezone', 'overlap', 'missed'] as const
const RUN_OPTIONS = ['timeout', 'retries', 'transaction'] as const
const spec = (name: string): OperationSpec => Object.freeze({ name, idempotent: false })
const SPECS = {
  reschedule: spec('reschedule'),
  remove: spec('remove'),
  pause: spec('pause'),
  resume: spec('resume'),
  runNow: spec('runNow'),
  history: spec('history'),
  schedules: spec('schedules'),
} as const

export function createCron(context: ComponentContext<CronConfig>): Component<Cron> {
  const { base, config, name, log } = context
  const db = context.required('postgres') as Postgres | undefined
  const operations = context.operations(LIMITS)
  const configured = configuredPlans(name, config)
  const entries = new Map<string, Entry>()
  let scheduler: Scheduler | undefined
  let hasToldMissing = false
  const open = (): Scheduler => {
    if (scheduler !== undefined) return scheduler
    throw new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, { retryable: true })
  }
  const ask = <T>(
    what: keyof typeof SPECS,
    schedule: string | undefined,
    body: (scheduler: Scheduler) => Promise<T>,
    signal?: AbortSignal,
  ): AsyncResult<T> => operations.run(SPECS[what], () => body(open()), { label: schedule, signal })
  const add = (schedule: string, plan: Plan, fn: CronHandler, options: HandleOptions): void => {
    checkName(schedule)
    if (entries.has(schedule)) throw invalidArgument('schedule: name', 'a name that is not taken', schedule)
    const entry = entryOf(schedule, plan, fn, options, configured.get(schedule)?.enabled ?? true)
    if (db === undefined && (entry.retries > 0 || entry.transaction)) {
      const hint = 'Add postgres() to the components of the app, or leave the option out.'
      const text = `schedule "${schedule}": retries and transaction need a database`
      throw new SluiceError('SLUICE_UNSUPPORTED', text, { hint })
    }
    entries.set(schedule, entry)
    scheduler?.add(entry)
  }
  const withoutFunction = (): string[] => [...configured.keys()].filter((each) => !entries.has(each))
  /** Told once, when services had their time to register functions: at the first check after connecting. */
  const tellMissing = (): void => {
    if (hasToldMissing) return
    hasToldMissing = true
    for (const each of withoutFunction()) {
      log.warn(
        {},
        `${name}.jobs.${each}: no function was registered by this name, so it never runs here; call ${name}.handle('${each}', fn)`,
      )
    }
  }
  const api: Cron = {
    ...base,
    schedule(schedule, expression, fn, options = {}) {
      checkName(schedule)
      checkOptionNames(`schedule "${schedule}"`, options, [...PLAN_OPTIONS, ...RUN_OPTIONS])
      const plan = configured.get(schedule)?.plan ?? planOf(`schedule "${schedule}"`, expression, options)
      add(schedule, plan, fn, options)
    },
    handle(schedule, fn, options = {}) {
      checkOptionNames(`schedule "${schedule}"`, options, RUN_OPTIONS)
      const found = configured.get(schedule)
      if (found === undefined) {
        const known = [...configured.keys()].join(', ') || 'none'
        throw new SluiceError(
          'SLUICE_CONFIG',
          `${name}.jobs has no schedule "${schedule}"; it has ${known}`,
          {
            component: name,
            hint: `Add it to ${name}.jobs in sluice.yaml, or give its expression in code: schedule(name, expression, fn).`,
          },
        )
      }
      add(schedule, found.plan, fn, options)
    },
    reschedule: (schedule, expression, options = {}) =>
      ask('reschedule', schedule, async (to) => {
        checkOptionNames(`schedule "${schedule}"`, options, PLAN_OPTIONS)
        return to.reschedule(schedule, planOf(`schedule "${schedule}"`, expression, options))
      }),
    remove: (schedule) =>
      ask('remove', schedule, async (from) => {
        entries.delete(schedule)
        return from.remove(schedule)
      }),
    pause: (schedule) => ask('pause', schedule, (on) => on.pause(schedule)),
    resume: (schedule) => ask('resume', schedule, (on) => on.resume(schedule)),
    runNow: (schedule, { key, signal } = {}) =>
      ask(
        'runNow',
        schedule,
        async (on) => {
          checkKey(schedule, key)
          return on.runNow(schedule, key)
        },
        signal,
      ),
    history: (schedule, { limit = 100 } = {}) =>
      ask('history', schedule, async (on) => {
        if (!Number.isSafeInteger(limit) || limit < 1 || limit > 10_000)
          throw invalidArgument('history: limit', 'a whole number from 1 to 10000', limit)
        return on.history(schedule, limit)
      }),
    schedules: () => ask('schedules', undefined, (on) => on.schedules()),
  }
  return {
    api,
    async connect(signal) {
      const { openScheduler } = await import('./open.ts')
      signal.throwIfAborted()
      const isNew = scheduler === undefined
      const opening = scheduler ?? openScheduler(context, db)
      if (isNew) for (const entry of entries.values()) opening.add(entry)
      scheduler = opening
      try {
        await opening.open(signal)
      } catch (error) {
        scheduler = undefined
        await opening.close(AbortSignal.abort())
        throw error
      }
    },
    async check(signal) {
      tellMissing()
      await open().check(signal)
    },
    async stopIntake() {
      await scheduler?.stopIntake()
    },
    async close(signal) {
      const closing = scheduler
      scheduler = undefined
      await closing?.close(signal)
    },
    inspect: () => ({
      mode: db === undefined ? 'process' : 'cluster',
      schedules: (scheduler?.snapshot() ?? []).map((each) => ({
        ...each,
        nextRun: each.nextRun?.toISOString() ?? null,
        lastRun: each.lastRun?.toISOString() ?? null,
        lastState: each.lastState ?? null,
        problem: each.problem ?? null,
      })),
      withoutFunction: withoutFunction(),
    }),
  }
}

interface Configured {
  readonly plan: Plan
  readonly enabled: boolean
}

/** Throws SLUICE_CONFIG that lists every fault. */
function configuredPlans(component: string, config: CronConfig): ReadonlyMap<string, Configured> {
  const plans = new Map<string, Configured>()
  const faults: string[] = []
  for (const [name, { schedule, enabled, ...options }] of Object.entries(config.jobs ?? {})) {
    try {
      if (schedule === undefined) throw new Error(`${component}.jobs.${name}: schedule is missing`)
      plans.set(name, { plan: planOf(`${component}.jobs.${name}`, schedule, options), enabled })
    } catch (error) {
      const hint = error instanceof SluiceError && error.hint !== undefined ? ` ${error.hint}` : ''
      faults.push(`${(error as Error).message}.${hint}`)
    }
  }
  if (faults.length === 0) return plans
  throw new SluiceError('SLUICE_CONFIG', faults.join('\n'), { component })
}
