/**
 * The jobs component. What answers before it is connected is loaded with this module; the rest is imported by `connect`,
 * behind the open port.
 */
import type { Component, ComponentContext } from '../app/component.ts'
import { SluiceError, toError } from '../core/errors.ts'
import type { OperationLimits, OperationSpec } from '../telemetry/operate.ts'
import type { Jobs } from './api.ts'
import { currentHead, prepare } from './prepare.ts'
import { Registry, type Registered } from './registry.ts'
import type { JobsRuntime } from './runtime.ts'
import type { JobsConfig } from './section.ts'

const ENQUEUE: OperationSpec = Object.freeze({ name: 'enqueue', idempotent: false })
const ENQUEUE_MANY: OperationSpec = Object.freeze({ name: 'enqueueMany', idempotent: false })

/** The database has its own slots and breaker; these bound what waits for it. */
const LIMITS: OperationLimits = {
  timeoutMs: 30_000,
  maxConcurrent: 10_000,
  maxWaiting: 100_000,
  breakerThreshold: 0,
  breakerResetMs: 0,
  retries: 0,
}

export function createJobs(context: ComponentContext<JobsConfig>): Component<Jobs> {
  const { base, config, name, log } = context
  const registry = new Registry()
  const operations = context.operations(LIMITS)
  let runtime: JobsRuntime | undefined
  const open = (): JobsRuntime => {
    if (runtime !== undefined) return runtime
    throw new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, { retryable: true })
  }
  const begin = (registered: Registered): void => {
    runtime?.run(registered).catch((error: unknown) => {
      log.error(
        { err: toError(error) },
        `${name}: the handler of "${registered.job.name}" could not be started`,
      )
    })
  }
  const api: Pick<Jobs, keyof typeof base | 'enqueue' | 'enqueueMany' | 'handle'> = {
    ...base,
    enqueue(job, data, options = {}) {
      return operations.run(
        ENQUEUE,
        async () => {
          const draft = await prepare(job as never, data, options, config.maxBodySize, currentHead())
          const { enqueuer } = open()
          if (options.tx === undefined) return enqueuer.one(job.queue, draft)
          const [stored] = await enqueuer.many(job.queue, [draft], options.tx)
          return stored!
        },
        { signal: options.signal, label: job.name },
      )
    },
    enqueueMany(job, items, options = {}) {
      return operations.run(
        ENQUEUE_MANY,
        async () => {
          const head = currentHead()
          const drafts = []
          for (const item of items) {
            const draft = prepare(job as never, item.data, item, config.maxBodySize, head)
            drafts.push(draft instanceof Promise ? await draft : draft)
          }
          return open().enqueuer.many(job.queue, drafts, options.tx)
        },
        { signal: options.signal, label: job.name },
      )
    },
    handle(job: never, handler: never, options = {}) {
      const registered = registry.add(job, handler, options)
      begin(registered)
      return registered
    },
  }
  return {
    api: api as Jobs,
    async connect(signal) {
      const { JobsRuntime } = await import('./runtime.ts')
      signal.throwIfAborted()
      if (runtime === undefined) {
        const opened = new JobsRuntime(context)
        await opened.open(signal)
        runtime = opened
      }
      for (const registered of registry.values()) begin(registered)
    },
    async check(signal) {
      signal.throwIfAborted()
      await open().engine.db.queryOne('select 1 from sluice.meta', [], { signal })
    },
    async stopIntake() {
      await runtime?.stopIntake()
    },
    async close() {
      const closing = runtime
      runtime = undefined
      await closing?.close()
    },
    inspect: () => ({}),
  }
}
