/**
 * The shutdown: steps in order, each raced with its own deadline. What one step does, hangs or throws never keeps the
 * next from running; what went wrong is reported by name and decides the exit code.
 *
 *     now            draining: /readyz 503, `Connection: close`, intake stops          (done by the caller, at once)
 *     drain delay    requests are served as ever while balancers learn
 *     services       `stop` of each, last registered first: they end their streams, so that HTTP can drain
 *     http           requests under way finish
 *     work           background work and the app's pool
 *     components     dependants first; the last fifth of the budget is theirs whatever happened before
 *     last           what has to see all of the above, such as the log
 */
import { waitOrAbort } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'

/** What a program ends with. */
export const EXIT = Object.freeze({
  /** Everything stopped in time. */
  clean: 0,
  /** A fatal error; or something threw while it stopped. */
  fatal: 1,
  /** A deadline passed while something hung. */
  deadline: 70,
  /** The port could not be opened, or the system lacked something. */
  system: 71,
  /** The configuration is wrong, or the store belongs to another. */
  config: 78,
  /** A second SIGHUP. */
  hungUp: 129,
  /** A second SIGINT. */
  interrupted: 130,
  /** A second SIGTERM. */
  terminated: 143,
})

export interface StepFailure {
  readonly step: string
  readonly error: Error
}

export interface StepsOptions {
  readonly clock: Clock
  /** Milliseconds for everything. */
  readonly budgetMs: number
  /** Told which step begins, for whoever has to name what hangs. */
  readonly onStep: (step: string) => void
  readonly onFailure: (failure: StepFailure) => void
}

/** Something with a name that ends. */
export interface Closer {
  readonly name: string
  readonly close: (signal: AbortSignal) => Promise<void>
}

export type StepWork = (signal: AbortSignal) => Promise<unknown> | void

/** What is kept for the components when all before them used up their time. */
const RESERVED = 0.2

export class Steps {
  readonly #options: StepsOptions
  readonly #failures: StepFailure[] = []
  readonly #beganAt: number
  readonly #current = new Set<AbortController>()
  #workUntil: number
  #allUntil: number
  #hurried = false

  constructor(options: StepsOptions) {
    this.#options = options
    this.#beganAt = options.clock.monotonic()
    this.#workUntil = this.#beganAt + options.budgetMs * (1 - RESERVED)
    this.#allUntil = this.#beganAt + options.budgetMs
  }

  get failures(): readonly StepFailure[] {
    return this.#failures
  }
  /** 0, 1 or 70, by what failed. */
  get code(): number {
    if (this.#failures.some(({ error }) => hasCode(error, 'SLUICE_TIMEOUT'))) return EXIT.deadline
    return this.#failures.length > 0 ? EXIT.fatal : EXIT.clean
  }
  /** Milliseconds since the shutdown began. */
  get elapsedMs(): number {
    return this.#options.clock.monotonic() - this.#beganAt
  }

  /** Waits, unless there is a hurry. */
  async wait(step: string, ms: number): Promise<void> {
    if (ms <= 0 || this.#hurried) return
    this.#options.onStep(step)
    const controller = new AbortController()
    this.#current.add(controller)
    await this.#options.clock.sleep(ms, { signal: controller.signal }).catch(() => {})
    this.#current.delete(controller)
  }

  /** Runs `work` for at most `limitMs` and what is left of the time for work. Never rejects. */
  work(step: string, limitMs: number, work: StepWork): Promise<void> {
    return this.#run(step, Math.min(limitMs, this.#workUntil - this.#options.clock.monotonic()), work)
  }

  /** As `work`, with what is left of the whole budget. */
  close(step: string, limitMs: number, work: StepWork): Promise<void> {
    return this.#run(step, Math.min(limitMs, this.#allUntil - this.#options.clock.monotonic()), work)
  }

  /** Everything must be over in `ms`: the step under way ends now, waits are skipped, the rest gets what is left. */
  hurry(ms: number): void {
    if (this.#hurried) return
    this.#hurried = true
    const now = this.#options.clock.monotonic()
    this.#allUntil = Math.min(this.#allUntil, now + ms)
    this.#workUntil = Math.min(this.#workUntil, now + ms / 2)
    const reason = new SluiceError('SLUICE_TIMEOUT', 'the shutdown was told to hurry')
    for (const controller of this.#current) controller.abort(reason)
  }

  async #run(step: string, limitMs: number, work: StepWork): Promise<void> {
    const { clock, onStep, onFailure } = this.#options
    const ms = Math.max(0, limitMs)
    const controller = new AbortController()
    this.#current.add(controller)
    const timer = clock.setTimer(() => {
      const text = `shutdown step "${step}" was not over after ${Math.round(ms)} ms`
      controller.abort(new SluiceError('SLUICE_TIMEOUT', text))
    }, ms)
    onStep(step)
    try {
      await waitOrAbort(
        Promise.try(() => work(controller.signal)),
        controller.signal,
      )
    } catch (thrown) {
      const failure = { step, error: toError(thrown) }
      this.#failures.push(failure)
      onFailure(failure)
    } finally {
      timer.cancel()
      this.#current.delete(controller)
    }
  }
}
