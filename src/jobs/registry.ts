/** Handlers that services registered, before or after the component is connected. */
import { checkOptionNames } from '../config/known-options.ts'
import { invalidArgument, SluiceError } from '../core/errors.ts'
import type { BatchOptions, HandleOptions, JobHandler, JobWorker } from './api.ts'
import type { Job } from './job.ts'

/** What runs it. */
interface RunningPart {
  readonly running: number
}

export class Registered implements JobWorker {
  readonly job: Job<never, unknown>
  readonly handler: JobHandler<unknown> | URL
  readonly options: HandleOptions | BatchOptions
  readonly #forget: () => void
  #station: RunningPart | undefined
  #remove: (() => Promise<void>) | undefined
  #stopping: Promise<void> | undefined

  constructor(
    job: Job<never, unknown>,
    handler: JobHandler<unknown> | URL,
    options: HandleOptions,
    forget: () => void,
  ) {
    this.job = job
    this.handler = handler
    this.options = options
    this.#forget = forget
  }

  get queue(): string {
    return this.job.queue
  }
  get running(): number {
    return this.#station?.running ?? 0
  }
  get stopped(): boolean {
    return this.#stopping !== undefined
  }

  /** It runs now, until `remove` has resolved. */
  attach(station: RunningPart, remove: () => Promise<void>): void {
    this.#station = station
    this.#remove = remove
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    try {
      await this.#remove?.()
    } finally {
      this.#forget()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

const MAX_CONCURRENCY = 100_000
const MAX_BATCH = 10_000
const OPTIONS = ['concurrency', 'transaction', 'batch'] as const

export class Registry {
  readonly #handlers = new Map<string, Registered>()

  /** Throws SLUICE_INVALID_ARGUMENT, also for a second one of the same job. */
  add(job: Job<never, unknown>, handler: JobHandler<unknown> | URL, options: HandleOptions): Registered {
    const { name } = job
    const what = `handle("${name}")`
    if (typeof handler !== 'function' && !(handler instanceof URL)) {
      throw invalidArgument(what, 'a function, or the URL of a module', handler)
    }
    checkOptionNames(what, options, OPTIONS)
    checkCount(`${what}: concurrency`, options.concurrency, MAX_CONCURRENCY)
    checkCount(`${what}: batch`, (options as Partial<BatchOptions>).batch, MAX_BATCH)
    checkTogether(what, handler, options)
    if (this.#handlers.has(name)) {
      throw new SluiceError(
        'SLUICE_INVALID_ARGUMENT',
        `${what}: there is a handler of it in this process already`,
        {
          hint: 'One handler runs all jobs of a name; stop the other one first.',
        },
      )
    }
    const registered = new Registered(job, handler, options, () => {
      if (this.#handlers.get(name) === registered) this.#handlers.delete(name)
    })
    this.#handlers.set(name, registered)
    return registered
  }

  values(): Iterable<Registered> {
    return this.#handlers.values()
  }
}

/** What cannot be had is refused: a handler that counts on its transaction must not run without one. */
function checkTogether(
  what: string,
  handler: unknown,
  { transaction, batch }: HandleOptions & Partial<BatchOptions>,
): void {
  if (transaction !== undefined && typeof transaction !== 'boolean') {
    throw invalidArgument(`${what}: transaction`, 'true or false', transaction)
  }
  if (handler instanceof URL && batch !== undefined) {
    throw invalidArgument(`${what}: batch`, 'none, as a thread is handed one job at a time', batch)
  }
  if (transaction !== true) return
  const why = handler instanceof URL ? 'a handler in a thread has none' : 'a batch has none'
  if (handler instanceof URL || batch !== undefined) {
    throw invalidArgument(`${what}: transaction`, `none, as ${why}`, transaction)
  }
}

function checkCount(what: string, value: unknown, max: number): void {
  if (value === undefined) return
  if (Number.isSafeInteger(value) && Number(value) >= 1 && Number(value) <= max) return
  throw invalidArgument(what, `a whole number from 1 to ${max}`, value)
}
