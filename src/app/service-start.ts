/**
 * The `start` of a service: called until it succeeds, after waits that grow. One that fails is told once a minute, and so
 * is one that does not return. It has no deadline, since only the service knows what is long; readiness goes on without it.
 */
import { reconnectDelayMs } from './reconnect.ts'
import { onAbort } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { LogLimit } from '../telemetry/log-limit.ts'

const LOG_EVERY_MS = 60_000

export interface ServiceStartOptions {
  readonly service: string
  readonly start: (signal: AbortSignal) => Promise<void> | void
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
}

export class ServiceStart {
  readonly #options: ServiceStartOptions
  #failure: Error | undefined
  /** Monotonic time at which the call under way began. */
  #calledAt: number | undefined
  /** Monotonic time of the next call, after one that failed. */
  #nextAt = 0

  constructor(options: ServiceStartOptions) {
    this.#options = options
  }

  /** Has a call failed, and none succeeded since? */
  get failed(): boolean {
    return this.#failure !== undefined
  }
  /** Why it is not up: what the last call threw, and for how long the one under way has not returned. */
  get reason(): string {
    const failed = this.#failure === undefined ? [] : [this.#failure.message]
    const running =
      this.#calledAt === undefined
        ? []
        : [`start has not returned for ${Math.floor(this.#runningMs() / 1_000)} s`]
    return [...failed, ...running].join('; ')
  }
  /** Milliseconds until it is called again; 0 while a call is under way. */
  get retryInMs(): number {
    return Math.max(0, this.#nextAt - this.#options.clock.monotonic())
  }

  /** Resolves when a call has succeeded; rejects with the signal's reason. */
  async run(signal: AbortSignal): Promise<void> {
    const { service, clock, random, log } = this.#options
    const failures = new LogLimit(clock, LOG_EVERY_MS)
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#call(attempt, signal)
        this.#failure = undefined
        return
      } catch (thrown) {
        signal.throwIfAborted()
        this.#failure = toError(thrown)
        const suppressed = failures.take()
        if (suppressed !== undefined) {
          const line = { service, attempt, suppressed, err: this.#failure }
          log.error(line, `service ${service} did not start`)
        }
        const delayMs = reconnectDelayMs(attempt, random)
        this.#nextAt = clock.monotonic() + delayMs
        await clock.sleep(delayMs, { signal, keepAlive: false })
      }
    }
  }

  async #call(attempt: number, signal: AbortSignal): Promise<void> {
    this.#calledAt = this.#options.clock.monotonic()
    const silence = this.#tellWhileItRuns(attempt, signal)
    try {
      await this.#options.start(signal)
    } finally {
      silence()
      this.#calledAt = undefined
    }
  }

  /** Once a minute, until it is silenced; at a stop the step that waits for it is named instead. */
  #tellWhileItRuns(attempt: number, signal: AbortSignal): () => void {
    const { service, clock, log } = this.#options
    const tell = (): void => {
      timer = clock.setTimer(tell, LOG_EVERY_MS, { keepAlive: false })
      const runningMs = Math.round(this.#runningMs())
      const text = `the start of service ${service} has not returned for ${Math.round(runningMs / 1_000)} s`
      log.warn({ service, attempt, runningMs }, text)
    }
    let timer = clock.setTimer(tell, LOG_EVERY_MS, { keepAlive: false })
    const release = onAbort(signal, () => timer.cancel())
    return () => {
      timer.cancel()
      release()
    }
  }

  #runningMs(): number {
    const { clock } = this.#options
    return clock.monotonic() - (this.#calledAt ?? clock.monotonic())
  }
}
