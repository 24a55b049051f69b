/** One who waits for a connection alone: settled once, by a place, by a refusal, or because the caller gave up. */
import { onAbort } from '../../core/abort.ts'
import type { Connection } from './connection.ts'

export class Lease {
  readonly promise: Promise<Connection>
  readonly #resolve: (connection: Connection) => void
  readonly #reject: (error: unknown) => void
  #off: (() => void) | undefined
  /** Settled; the line passes over it. */
  done = false

  constructor() {
    const { promise, resolve, reject } = Promise.withResolvers<Connection>()
    this.promise = promise
    this.#resolve = resolve
    this.#reject = reject
  }

  /** Rejects when `signal` aborts meanwhile, and then calls `onGivenUp`. */
  listenTo(signal: AbortSignal, onGivenUp: () => void): void {
    if (this.done) return
    this.#off = onAbort(signal, (reason) => {
      this.reject(reason)
      onGivenUp()
    })
  }

  resolve(connection: Connection): void {
    this.#settle()
    this.#resolve(connection)
  }

  reject(error: unknown): void {
    this.#settle()
    this.#reject(error)
  }

  #settle(): void {
    this.done = true
    this.#off?.()
  }
}
