/**
 * One component's life: connect in the background for as long as it takes, watch its health, reconnect when it is
 * lost, close once. The states are drawn in phase.ts; the promises to the component are those of component.ts.
 */
import { ConnectAttempts, type ConnectFacts } from './connect-attempts.ts'
import { HealthCheck } from './health-check.ts'
import { Hysteresis, type Phase } from './phase.ts'
import { reconnectDelayMs } from './reconnect.ts'
import type { RunnerOptions } from './runner-options.ts'
import { deriveController, waitOrAbort } from '../core/abort.ts'
import { SluiceError, toError } from '../core/errors.ts'

/** A check that failed, or a component that is down, is asked again after this long. */
const RECHECK_MS = 1_000
/** Several components that lose one machine do not all come back in the same millisecond. */
const RECONNECT_SPREAD_MS = 250

export class ComponentRunner {
  readonly #options: RunnerOptions
  readonly #attempts: ConnectAttempts
  readonly #check: HealthCheck
  readonly #health: Hysteresis
  readonly #stop = new AbortController()
  readonly #firstReady = Promise.withResolvers<void>()
  #phase: Phase
  #running: Promise<void> | undefined
  #closing: Promise<void> | undefined
  #connected = false
  #everConnected = false
  /** Of one attempt and its connection: aborted with the error when that is lost. */
  #loss = new AbortController()

  constructor(options: RunnerOptions) {
    this.#options = options
    this.#attempts = new ConnectAttempts({ ...options, timeoutMs: options.connectTimeoutMs })
    this.#check = new HealthCheck({ ...options, timeoutMs: options.checks.timeoutMs })
    this.#health = new Hysteresis(options.checks.downAfter, options.checks.upAfter)
    this.#phase = { state: 'waiting', needs: options.dependsOn }
    // Nobody may be waiting for it when the app stops first.
    this.#firstReady.promise.catch(() => {})
  }

  get phase(): Phase {
    return this.#phase
  }
  /** Operations may be sent: there is a connection, whatever its health. */
  get connected(): boolean {
    return this.#connected
  }
  /** The verdict with memory, for readiness. */
  get up(): boolean {
    return this.#health.up
  }
  get everConnected(): boolean {
    return this.#everConnected
  }
  /** What is to be shown of connecting. */
  get attempts(): ConnectFacts {
    return this.#attempts
  }
  /** Resolves at the first connection; rejects when the app stops before. */
  get firstReady(): Promise<void> {
    return this.#firstReady.promise
  }

  /** Begins to connect; returns at once. */
  start(): void {
    if (this.#stop.signal.aborted) return
    this.#running ??= this.#run().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) throw error
    })
  }

  /** The component says that its connection is gone for good. */
  lost(error: Error): void {
    this.#loss.abort(error)
  }

  /** Ends what is under way, then closes the component, once. `signal` carries the deadline. */
  close(signal: AbortSignal): Promise<void> {
    this.#closing ??= this.#close(signal)
    return this.#closing
  }

  /** Ends connecting and checking, and leaves the connection as it is: the first half of `close`. */
  halt(): void {
    const reason = new SluiceError('SLUICE_SHUTDOWN', `${this.#options.name}: the app is stopping`)
    this.#stop.abort(reason)
    this.#firstReady.reject(reason)
  }

  async #close(signal: AbortSignal): Promise<void> {
    this.halt()
    this.#enter({ state: 'closing' })
    // A connect or check that ignores its signal must not keep the others from closing.
    await waitOrAbort(this.#running ?? Promise.resolve(), signal).catch(() => {})
    try {
      await waitOrAbort(this.#options.component.close(signal), signal)
    } finally {
      this.#connected = false
      this.#enter({ state: 'closed' })
    }
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal
    await this.#options.dependenciesReady(stop)
    while (!stop.aborted) {
      await this.#connectUntilUp(stop)
      const error = await this.#watch(stop)
      this.#connected = false
      this.#health.bad()
      this.#enter({ state: 'degraded', connected: false, error })
      await this.#sleep(this.#options.random() * RECONNECT_SPREAD_MS, stop)
    }
  }

  async #connectUntilUp(stop: AbortSignal): Promise<void> {
    let last: Error | undefined
    for (let attempt = 1; ; attempt++) {
      stop.throwIfAborted()
      this.#attempts.begin()
      if (!this.#everConnected) {
        this.#enter({ state: 'connecting', attempt, ...(last && { error: last }) })
      }
      try {
        await this.#connectOnce(attempt, stop)
        return
      } catch (error) {
        stop.throwIfAborted()
        last = toError(error)
      }
      if (this.#everConnected) this.#health.bad()
      const retryMs = reconnectDelayMs(attempt, this.#options.random)
      if (this.#health.up) this.#enter({ state: 'degraded', connected: false, error: last })
      else this.#enter({ state: 'failed', attempt, error: last, retryMs })
      await this.#attempts.pause(retryMs, stop)
    }
  }

  async #connectOnce(attempt: number, stop: AbortSignal): Promise<void> {
    const { signal: lost } = (this.#loss = new AbortController())
    const ms = await this.#attempts.make(stop, (error) => {
      // Said at once: a component that ignores its signal would look as if it were still trying.
      if (!this.#everConnected) this.#enter({ state: 'failed', attempt, error, retryMs: 0 })
    })
    stop.throwIfAborted()
    // It may be gone before connect has said that it is there.
    lost.throwIfAborted()
    this.#attempts.succeeded(ms)
    this.#connected = this.#everConnected = true
    this.#health.good()
    this.#enterConnected()
    this.#firstReady.resolve()
  }

  /** Checks the health until the connection is lost; returns why it was. */
  async #watch(stop: AbortSignal): Promise<Error> {
    const { checks, random } = this.#options
    const { signal: lost } = this.#loss
    const { controller, release } = deriveController(stop, lost)
    const { signal } = controller
    try {
      for (;;) {
        const steady = this.#health.up && this.#health.streak > 0
        const waitMs = steady
          ? checks.intervalMs * (0.9 + 0.2 * random())
          : Math.min(RECHECK_MS, checks.intervalMs)
        await this.#sleep(waitMs, signal)
        await this.#checkOnce(signal)
      }
    } catch (error) {
      stop.throwIfAborted()
      if (!lost.aborted) throw error
      return toError(lost.reason)
    } finally {
      release()
    }
  }

  async #checkOnce(signal: AbortSignal): Promise<void> {
    const error = await this.#check.run(signal)
    signal.throwIfAborted()
    if (error === undefined) this.#health.good()
    else this.#health.bad()
    this.#enterConnected(error)
  }

  #enterConnected(error?: Error): void {
    if (this.#health.up) {
      if (this.#phase.state !== 'ready') this.#enter({ state: 'ready' })
      return
    }
    const why = error ?? new SluiceError('SLUICE_UNAVAILABLE', 'connected again, not yet proved steady')
    this.#enter({ state: 'degraded', connected: true, error: why })
  }

  #enter(phase: Phase): void {
    const ended =
      this.#phase.state === 'closed' || (this.#phase.state === 'closing' && phase.state !== 'closed')
    if (ended) return
    this.#phase = phase
    this.#options.onPhase(phase)
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return this.#options.clock.sleep(ms, { signal, keepAlive: false })
  }
}
