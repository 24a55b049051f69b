/**
 * THE start/stop state machine; every owner of a life cycle holds one instead of writing its own.
 *
 *     idle ──start──▶ starting ──▶ running ──stop──▶ stopping ──▶ stopped
 *       │                │ failed start: back to idle, start may be retried
 *       └────stop────────┴──────────────────────────▶ stopped (for ever)
 *
 * - `start` and `stop` are idempotent: calls in the same phase get the same promise.
 * - `stop` during `start` aborts the start's signal, waits for it to settle, then runs the stop function.
 * - `stop` before `start` is fine and runs nothing; `start` after `stop` rejects with SLUICE_CLOSED.
 * - Work handed to `spawn` is watched: its failure is reported, and `stop` waits for it.
 */
import { SluiceError, toError } from './errors.ts'

export type LifecycleState = 'idle' | 'starting' | 'running' | 'stopping' | 'stopped'

export interface LifecycleOptions {
  /** Who this is, for errors. */
  readonly name: string
  /** Brings everything up, or cleans up after itself and rejects. The signal aborts when `stop` is called meanwhile. */
  readonly start: (signal: AbortSignal) => Promise<void> | void
  /** Takes everything down; called once, and only after a start that succeeded. */
  readonly stop: () => Promise<void> | void
  /** Receives failures of spawned work. They never reject `start` or `stop`. */
  readonly onError: (error: Error, what: string) => void
}

export class Lifecycle {
  readonly #options: LifecycleOptions
  readonly #spawned = new Set<Promise<void>>()
  #controller = new AbortController()
  #state: LifecycleState = 'idle'
  #starting: Promise<void> | undefined
  #bringUp: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  constructor(options: LifecycleOptions) {
    this.#options = options
  }

  get state(): LifecycleState {
    return this.#state
  }

  /** Aborts when stop begins. Spawned loops run on it. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  start(): Promise<void> {
    if (this.#state === 'stopping' || this.#state === 'stopped') {
      return Promise.reject(
        new SluiceError('SLUICE_CLOSED', `${this.#options.name} was stopped and cannot be started again`),
      )
    }
    this.#starting ??= this.#runStart()
    return this.#starting
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#runStop()
    return this.#stopping
  }

  /** Watches `work`: reports its failure, unless it failed because of the stop, and makes `stop` wait for it. */
  spawn(what: string, work: Promise<unknown>): void {
    // The one of now: a start that fails replaces it.
    const { signal } = this
    const watched: Promise<void> = work.then(
      () => undefined,
      (error: unknown) => {
        if (signal.aborted && error === signal.reason) return
        this.#report(error, what)
      },
    )
    this.#spawned.add(watched)
    void watched.then(() => this.#spawned.delete(watched))
  }

  #report(error: unknown, what: string): void {
    try {
      this.#options.onError(toError(error), what)
    } catch {
      // The handler is foreign code, and stop waits for spawned work: it must not be what fails it.
    }
  }

  async #runStart(): Promise<void> {
    this.#state = 'starting'
    const bringUp = (async () => this.#options.start(this.signal))()
    this.#bringUp = bringUp
    try {
      await bringUp
    } catch (error) {
      // A stop that came meanwhile owns the state from here on.
      if (this.#stopping === undefined) this.#backToIdle(error)
      throw error
    }
    if (this.#stopping !== undefined) {
      throw new SluiceError('SLUICE_CLOSED', `${this.#options.name} was stopped while it started`)
    }
    this.#state = 'running'
  }

  #backToIdle(error: unknown): void {
    this.#state = 'idle'
    this.#starting = undefined
    this.#controller.abort(error)
    this.#controller = new AbortController()
  }

  async #runStop(): Promise<void> {
    this.#state = 'stopping'
    this.#controller.abort(new SluiceError('SLUICE_SHUTDOWN', `${this.#options.name} is stopping`))
    const isUp = await (this.#bringUp?.then(
      () => true,
      () => false,
    ) ?? false)
    try {
      if (isUp) await this.#options.stop()
    } finally {
      // What is being stopped may spawn its last work.
      while (this.#spawned.size > 0) await Promise.all(this.#spawned)
      this.#state = 'stopped'
    }
  }
}
