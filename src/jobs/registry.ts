/** Handlers that services registered, before or after the component is connected. */
import { SluiceError } from '../core/errors.ts'
import type { HandleOptions, JobHandler, JobWorker } from './api.ts'
import type { Job } from './job.ts'
import type { Station } from './run/station.ts'

export class Registered implements JobWorker {
  readonly job: Job<never, unknown>
  readonly handler: JobHandler<unknown>
  readonly options: HandleOptions
  readonly #forget: () => void
  #station: Station | undefined
  #remove: (() => Promise<void>) | undefined
  #stopping: Promise<void> | undefined

  constructor(
    job: Job<never, unknown>,
    handler: JobHandler<unknown>,
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
  attach(station: Station, remove: () => Promise<void>): void {
    this.#station = station
    this.#remove = remove
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    await this.#remove?.()
    this.#forget()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

export class Registry {
  readonly #handlers = new Map<string, Registered>()

  /** Throws SLUICE_INVALID_ARGUMENT for a second one of the same job. */
  add(job: Job<never, unknown>, handler: JobHandler<unknown>, options: HandleOptions): Registered {
    const { name } = job
    if (this.#handlers.has(name)) {
      throw new SluiceError('SLUICE_INVALID_ARGUMENT', `job "${name}" has a handler in this process already`)
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
