/**
 * How an app goes down: `begin` makes it draining at once, `run` then takes its parts through the steps of shutdown.ts
 * in their order. Both may be told to hurry before, between and meanwhile: by a second signal, or because something
 * broke.
 */
import { drainHttp } from './http/drain.ts'
import type { AppServer } from './http/server.ts'
import type { Init } from './init.ts'
import type { ShutdownLimits } from './options.ts'
import type { Services } from './services.ts'
import { Steps } from './shutdown.ts'
import type { AppValues } from '../config/app-section.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Background } from '../pool/background.ts'
import type { WorkerPool } from '../pool/worker-pool.ts'
import type { Logger } from '../telemetry/log.ts'

/** Told about the shutdown as it goes. */
export interface StopWatcher {
  begins(budgetMs: number): void
  step(name: string): void
  /** Are stalls of the event loop reported by somebody who can see where it hangs? */
  seesStalls(): boolean
}

/** What is taken down. */
export interface StopParts {
  readonly server: AppServer
  readonly services: Services
  readonly background: Background
  readonly pool: WorkerPool
  readonly init: Init
}

export interface StopOptions {
  /** Name of the app. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  readonly limits: ShutdownLimits
  readonly env: Readonly<Record<string, string | undefined>>
  /** Undefined while the configuration has not been read. */
  readonly settings: () => Pick<AppValues, 'shutdownTimeout' | 'drainDelay'> | undefined
}

const DEFAULT_BUDGET_MS = 25_000
const FATAL_BUDGET_MS = 5_000
const KUBERNETES_DRAIN_MS = 5_000

export class StopSequence {
  readonly #options: StopOptions
  readonly #stopping = new AbortController()
  #watcher: StopWatcher | undefined
  #steps: Steps | undefined
  #hurryMs: number | undefined
  #fatal = false
  #exitCode = 0

  constructor(options: StopOptions) {
    this.#options = options
  }

  /** Aborts when the app begins to stop. */
  get signal(): AbortSignal {
    return this.#stopping.signal
  }
  get draining(): boolean {
    return this.#stopping.signal.aborted
  }
  get exitCode(): number {
    return this.#exitCode
  }
  /** Are stalls of the event loop reported by the watcher? */
  get stallsAreSeen(): boolean {
    return this.#watcher?.seesStalls() ?? false
  }
  /** Does SIGHUP stop the app? */
  get hangup(): boolean {
    return this.#options.limits.hangup
  }

  get maxStallMs(): number {
    return this.#options.limits.maxStallMs ?? this.budgetMs
  }
  /** What the shutdown may take, in milliseconds. */
  get budgetMs(): number {
    return this.#options.settings()?.shutdownTimeout ?? DEFAULT_BUDGET_MS
  }
  /** How long requests are served as ever once it has begun. */
  get drainDelayMs(): number {
    if (this.#fatal) return 0
    const inKubernetes = this.#options.env['KUBERNETES_SERVICE_HOST'] !== undefined
    return this.#options.settings()?.drainDelay ?? (inKubernetes ? KUBERNETES_DRAIN_MS : 0)
  }

  watch(watcher: StopWatcher): void {
    this.#watcher = watcher
  }

  begin(): void {
    this.#stopping.abort(new SluiceError('SLUICE_SHUTDOWN', `app "${this.#options.name}" is stopping`))
  }

  /** Something broke: no serving on, and over within seconds. */
  fail(): void {
    this.#fatal = true
    this.#steps?.hurry(FATAL_BUDGET_MS)
  }

  /** No more waiting. */
  hurry(ms: number): void {
    this.#hurryMs = ms
    this.#steps?.hurry(ms)
  }

  async run(parts: StopParts): Promise<void> {
    const { name, log } = this.#options
    const budgetMs = this.#fatal ? Math.min(FATAL_BUDGET_MS, this.budgetMs) : this.budgetMs
    this.#watcher?.begins(budgetMs)
    const steps = this.#createSteps(budgetMs)
    this.#steps = steps
    if (this.#hurryMs !== undefined) steps.hurry(this.#hurryMs)
    log.info({ budgetMs }, `${name} stops`)
    await this.#takeDown(parts, steps)
    this.#exitCode = steps.code
    const ms = Math.round(steps.elapsedMs)
    log.info({ code: steps.code, durationMs: ms }, `${name} stopped after ${ms} ms`)
  }

  async #takeDown({ init, services, server, background, pool }: StopParts, steps: Steps): Promise<void> {
    const { httpMs, workMs, closeMs } = this.#options.limits
    init.halt()
    const intake = Promise.all(
      init.intakes().map((it) => steps.work(`stop the intake of ${it.name}`, closeMs, it.close)),
    )
    await steps.wait('drain delay', this.drainDelayMs)
    await intake
    const drains = Promise.all(
      init.drains().map((it) => steps.work(`drain ${it.name}`, it.limitMs ?? workMs, it.close)),
    )
    for (const { name, close } of services.stoppers()) {
      await steps.work(`stop service ${name}`, workMs, close)
    }
    await steps.work('drain http', httpMs, (signal) =>
      drainHttp(server, { clock: this.#options.clock, signal }),
    )
    // Before the pools that jobs may use.
    await drains
    await steps.work('drain background work', workMs, () => background.close({ timeout: workMs }))
    await steps.work('drain the worker pool', workMs, () => pool.close({ timeout: workMs }))
    for (const { name, close } of init.closers()) {
      await steps.close(`close ${name}`, closeMs, close)
    }
  }

  #createSteps(budgetMs: number): Steps {
    const { clock, log } = this.#options
    return new Steps({
      clock,
      budgetMs,
      onStep: (step) => {
        this.#watcher?.step(step)
        log.debug({ step }, `shutdown: ${step}`)
      },
      onFailure: ({ step, error }) => log.error({ step, err: error }, `shutdown: ${step} failed`),
    })
  }
}
