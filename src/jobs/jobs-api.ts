/** The calls of `Jobs`: each runs through the component's operations, and reaches the runtime once that is there. */
import type { ComponentContext } from '../app/component.ts'
import type { AsyncResult } from '../core/async-result.ts'
import { checkOptionNames } from '../config/known-options.ts'
import { invalidArgument } from '../core/errors.ts'
import { checkTransaction } from '../engine/transaction-option.ts'
import type { CallOptions, OperationLimits, OperationSpec } from '../telemetry/operate.ts'
import type * as Admin from './admin/index.ts'
import type { EnqueuedJob, HandleOptions, JobHandler, Jobs, JobWorker } from './api.ts'
import type { Job } from './job.ts'
import { currentHead, prepare, type Draft } from './prepare.ts'
import type { JobsRuntime } from './runtime.ts'
import type { JobsConfig } from './section.ts'

export interface JobsHost {
  /** Throws SLUICE_NOT_READY. */
  runtime(): JobsRuntime
  handle(job: Job<never, unknown>, handler: JobHandler<unknown> | URL, options: HandleOptions): JobWorker
}

/** The database has its own slots and breaker; these bound what waits for it. */
const LIMITS: OperationLimits = {
  timeoutMs: 30_000,
  maxConcurrent: 10_000,
  maxWaiting: 100_000,
  breakerThreshold: 0,
  breakerResetMs: 0,
  retries: 0,
}

const SPECS = specs([
  'enqueue',
  'enqueueMany',
  'get',
  'list',
  'cancel',
  'cancelGroup',
  'group',
  'pause',
  'resume',
  'stats',
  'deadLetters.list',
  'deadLetters.get',
  'deadLetters.redrive',
  'deadLetters.drop',
])
const MAX_MANY = 100_000
const MANY_OPTIONS = ['tx', 'signal'] as const
/** A redrive waits for its canaries to be run. */
const REDRIVE_LIMIT = '10m'

type Name = keyof typeof SPECS

export function createJobsApi(context: ComponentContext<JobsConfig>, host: JobsHost): Jobs {
  const { base, config } = context
  const operations = context.operations(LIMITS)
  /** Runs with what is loaded by `connect`; the admin part is loaded when it is first used. */
  const admin = <T>(
    name: Name,
    body: (runtime: JobsRuntime, admin: typeof Admin, signal: AbortSignal) => Promise<T>,
    options?: CallOptions,
  ): AsyncResult<T> =>
    operations.run<T>(
      SPECS[name],
      async (call) => body(host.runtime(), await import('./admin/index.ts'), call.signal),
      options,
    )
  return {
    ...base,
    enqueue(job, data, options = {}) {
      return operations.run<EnqueuedJob>(
        SPECS.enqueue,
        () => {
          checkTransaction(`job "${job.name}"`, options.tx)
          const draft = prepare(job as never, data, options, config.maxBodySize, currentHead())
          const { enqueuer } = host.runtime()
          if (draft instanceof Promise) return draft.then((late) => enqueuer.one(job.queue, late, options.tx))
          return enqueuer.one(job.queue, draft, options.tx)
        },
        callOptions(options.signal, job.name),
      )
    },
    enqueueMany(job, items, options = {}) {
      return operations.run<readonly EnqueuedJob[]>(
        SPECS.enqueueMany,
        async () => {
          if (!Array.isArray(items) || items.length > MAX_MANY) {
            const got = Array.isArray(items) ? items.length : typeof items
            throw invalidArgument(`job "${job.name}": enqueueMany`, `a list of at most ${MAX_MANY}`, got)
          }
          checkOptionNames(`job "${job.name}": enqueueMany`, options, MANY_OPTIONS)
          checkTransaction(`job "${job.name}": enqueueMany`, options.tx)
          const head = currentHead()
          const drafts: Draft[] = []
          for (const item of items) {
            const draft = prepare(job as never, item.data, item, config.maxBodySize, head)
            drafts.push(draft instanceof Promise ? await draft : draft)
          }
          return host.runtime().enqueuer.many(job.queue, drafts, options.tx)
        },
        callOptions(options.signal, job.name),
      )
    },
    handle(job: Job<never, unknown>, handler: unknown, options: HandleOptions = {}) {
      return host.handle(job, handler as JobHandler<unknown>, options)
    },
    get: (id) => admin('get', ({ engine }, { findJob }) => findJob(engine.db, id)),
    list: (filter = {}) => admin('list', ({ engine }, { listJobs }) => listJobs(engine.db, filter)),
    cancel: (id) => admin('cancel', ({ engine }, { cancelJob }) => cancelJob(engine, id)),
    cancelGroup: (group) =>
      admin('cancelGroup', ({ engine }, { cancelGroup }, signal) => cancelGroup(engine, group, signal)),
    group: (group) => admin('group', ({ engine }, { groupStats }) => groupStats(engine.db, group)),
    pause: (queue, reason) =>
      admin('pause', async (runtime, { pauseQueue }) => {
        // Its handler may have been registered a moment ago, and nothing been enqueued yet.
        if (runtime.handles(queue)) await runtime.engine.queues.id(queue)
        await pauseQueue(runtime.engine, queue, reason)
      }),
    resume: (queue) => admin('resume', ({ engine }, { resumeQueue }) => resumeQueue(engine, queue)),
    stats: () => admin('stats', (runtime) => runtime.stats()),
    deadLetters: {
      list: (filter = {}) =>
        admin('deadLetters.list', ({ engine }, { listDead }) => listDead(engine, filter)),
      get: (id) => admin('deadLetters.get', ({ engine }, { getDead }) => getDead(engine, id)),
      redrive: (options = {}) =>
        admin(
          'deadLetters.redrive',
          ({ engine }, { redriveDead }, signal) => redriveDead(engine, options, signal),
          { timeout: REDRIVE_LIMIT },
        ),
      drop: (filter) => admin('deadLetters.drop', ({ engine }, { dropDead }) => dropDead(engine, filter)),
    },
  }
}

function callOptions(signal: AbortSignal | undefined, label: string): CallOptions {
  return signal === undefined ? { label } : { signal, label }
}

function specs<const N extends string>(names: readonly N[]): Readonly<Record<N, OperationSpec>> {
  const made: Partial<Record<N, OperationSpec>> = {}
  for (const name of names) made[name] = Object.freeze({ name, idempotent: false })
  return made as Record<N, OperationSpec>
}
