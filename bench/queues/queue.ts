/** What each job queue is measured by: put jobs in, run them all, wait for none. Every one owns a database of its own. */

export interface Contender {
  readonly name: string
  open(target: Target): Promise<OpenQueue>
}

export interface Target {
  /** Of an empty database. */
  readonly dsn: string
  readonly redisUrl: string
}

export interface OpenQueue {
  /** Puts `count` jobs in, in batches of `batch`. */
  fill(count: number, batch: number): Promise<void>
  /** One job. */
  enqueue(): Promise<void>
  /**
   * Starts a worker with a handler that does nothing, waits until `count` jobs have run and their ends are stored, and
   * ends the worker. Resolves with the milliseconds from the first handler to that.
   */
  drain(count: number): Promise<number>
  close(): Promise<void>
}

/** Counts handlers, and measures from the first to the last. */
export class Counter {
  readonly #count: number
  readonly #last = Promise.withResolvers<void>()
  #seen = 0
  #firstAt = 0

  constructor(count: number) {
    this.#count = count
  }

  readonly handler = (): void => {
    if (this.#seen === 0) this.#firstAt = performance.now()
    this.#seen += 1
    if (this.#seen === this.#count) this.#last.resolve()
  }

  /** Several at once. */
  readonly batch = (items: number): void => {
    for (let i = 0; i < items; i += 1) this.handler()
  }

  /** Handlers so far; more than were waited for where there are more jobs. */
  get seen(): number {
    return this.#seen
  }

  /** All have been handed to the handler. */
  get last(): Promise<void> {
    return this.#last.promise
  }

  /** Milliseconds since the first. */
  elapsed(): number {
    return performance.now() - this.#firstAt
  }
}

export interface Payload {
  readonly id: number
  readonly to: string
}

export function payload(id: number): Payload {
  return { id, to: 'someone@example.com' }
}

/** 0 to `count` in steps. */
export function* batches(count: number, size: number): Iterable<readonly Payload[]> {
  for (let from = 0; from < count; from += size) {
    yield Array.from({ length: Math.min(size, count - from) }, (_, at) => payload(from + at))
  }
}
