/**
 * One component's life: connect in the background for as long as it takes, watch its health, reconnect when it is
 * lost, close once. The states are drawn in phase.ts; the promises to the component are those of component.ts.
 */
import type { Component, ComponentBase } from './component.ts'
import { Hysteresis, type Phase } from './phase.ts'
import { reconnectDelayMs } from './reconnect.ts'
import { deriveController, waitOrAbort } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError, toError } from '../core/errors.ts'

/** How often the background check runs and when its verdict turns. */
export interface CheckSettings {
  /** Milliseconds between two checks that succeed, ± 10 %. */
  readonly intervalMs: number
  /** Deadline of one check in milliseconds. */
  readonly timeoutMs: number
  /** Failures in a row until the component counts as down. */
  readonly downAfter: number
  /** Successes in a row until it counts as up again. */
  readonly upAfter: number
}

export interface RunnerOptions {
  readonly name: string
  readonly component: Component<ComponentBase>
  /** Components that must be ready before this one connects. */
  readonly dependsOn: readonly string[]
  /** Resolves when they are; undefined where there are none. */
  readonly dependenciesReady: (signal: AbortSignal) => Promise<void>
  /** Deadline of one connect in milliseconds. */
  readonly connectTimeoutMs: number
  readonly checks: CheckSettings
  readonly clock: Clock
  readonly random: () => number
  readonly onPhase: (phase: Phase) => void
}

/** A check that failed, or a component that is down, is asked again after this long. */
const RECHECK_MS = 1_000
/** Several components that lose one machine do not all come back in the same millisecond. */
const RECONNECT_SPREAD_MS = 250

export class ComponentRunner {
  readonly #options: RunnerOptions
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
  #pendingCheck: Promise<void> | undefined
  #progress = 0
  #note: string | undefined
  #attempts = 0
  #startedAt: number | undefined
  #connectMs: number | undefined
  /** Monotonic time of the next attempt, while the back-off between two runs. */
  #nextAttemptAt: number | undefined

  constructor(options: RunnerOptions) {
    this.#options = options
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
  get attempts(): number {
    return this.#attempts
  }
  /** 0 to 1, of the connect under way. */
  get progress(): number {
    return this.#everConnected ? 1 : this.#progress
  }
  get note(): string | undefined {
    return this.#note
  }
  /** Wall-clock time at which the first connect began. */
  get startedAt(): number | undefined {
    return this.#startedAt
  }
  /** Milliseconds that the last successful connect took. */
  get connectMs(): number | undefined {
    return this.#connectMs
  }
  /** Milliseconds until the next attempt begins; 0 when one is under way or none is needed. */
  get retryInMs(): number {
    if (this.#nextAttemptAt === undefined) return 0
    return Math.max(0, this.#nextAttemptAt - this.#options.clock.monotonic())
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
    this.#startedAt ??= this.#options.clock.now()
    let last: Error | undefined
    for (let attempt = 1; ; attempt++) {
      stop.throwIfAborted()
      this.#attempts++
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
      this.#nextAttemptAt = this.#options.clock.monotonic() + retryMs
      await this.#sleep(retryMs, stop)
      this.#nextAttemptAt = undefined
    }
  }

  /** One attempt with its deadline. Waits for the component to settle, for connect must never run twice at once. */
  async #connectOnce(attempt: number, stop: AbortSignal): Promise<void> {
    const { clock, connectTimeoutMs, name, component } = this.#options
    const began = clock.monotonic()
    const { controller, release } = deriveController(stop)
    const timer = clock.setTimer(() => {
      const text = `"${name}: connect" timed out after ${connectTimeoutMs} ms`
      const error = new SluiceError('SLUICE_TIMEOUT', text, { component: name, retryable: true })
      controller.abort(error)
      // Said at once: a component that ignores its signal would look as if it were still trying.
      if (!this.#everConnected) this.#enter({ state: 'failed', attempt, error, retryMs: 0 })
    }, connectTimeoutMs)
    this.#progress = 0
    const { signal: lost } = (this.#loss = new AbortController())
    try {
      await component.connect(controller.signal, (fraction, note) => {
        this.#progress = Math.min(1, Math.max(0, fraction))
        this.#note = note
      })
    } finally {
      timer.cancel()
      release()
    }
    stop.throwIfAborted()
    // It may be gone before connect has said that it is there.
    lost.throwIfAborted()
    this.#connectMs = clock.monotonic() - began
    this.#connected = this.#everConnected = true
    this.#note = undefined
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
    const error = await this.#runCheck(signal)
    signal.throwIfAborted()
    if (error === undefined) this.#health.good()
    else this.#health.bad()
    this.#enterConnected(error)
  }

  /** One check at a time: while an earlier one has not settled, that alone is a failure. */
  async #runCheck(signal: AbortSignal): Promise<Error | undefined> {
    const { clock, component, name, checks } = this.#options
    const { controller, release } = deriveController(signal)
    const timer = clock.setTimer(() => {
      const text = `"${name}: check" timed out after ${checks.timeoutMs} ms`
      controller.abort(new SluiceError('SLUICE_TIMEOUT', text, { component: name, retryable: true }))
    }, checks.timeoutMs)
    try {
      this.#pendingCheck ??= Promise.try(() => component.check(controller.signal)).finally(() => {
        this.#pendingCheck = undefined
      })
      this.#pendingCheck.catch(() => {})
      await waitOrAbort(this.#pendingCheck, controller.signal)
      return undefined
    } catch (error) {
      return toError(error)
    } finally {
      timer.cancel()
      release()
    }
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
