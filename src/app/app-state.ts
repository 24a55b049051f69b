/**
 * How far an app has come, and what there is by then.
 *
 *     created ──▶ configured (its pool and components are made) ──▶ listening (the port is open)
 */
import type { Configured } from './configured.ts'
import { readiness, type Readiness } from './health.ts'
import type { Init } from './init.ts'
import type { Address } from './listen.ts'
import type { ResolvedHealth } from './options.ts'
import type { Settings } from './settings.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'

export interface AppStateOptions {
  /** Name of the app. */
  readonly name: string
  readonly clock: Clock
  readonly gates: ResolvedHealth['gates']
  readonly draining: () => boolean
  /** Is there a service that has all it needs, and whose `start` has not succeeded? */
  readonly startsPending: () => boolean
}

interface Listening {
  readonly address: Address
  /** Monotonic time since which the port has been open. */
  readonly since: number
}

export class AppState {
  readonly #options: AppStateOptions
  #configured: Configured | undefined
  #listening: Listening | undefined

  constructor(options: AppStateOptions) {
    this.#options = options
  }

  /** Undefined until the configuration has been read; the getters below throw SLUICE_NOT_READY until then. */
  get ifConfigured(): Configured | undefined {
    return this.#configured
  }
  get configured(): Configured {
    return this.#reached(this.#configured)
  }
  get init(): Init {
    return this.configured.init
  }
  get settings(): Settings {
    return this.configured.settings
  }
  get listening(): boolean {
    return this.#listening !== undefined
  }
  get address(): Address {
    return this.#reached(this.#listening).address
  }

  /** What /readyz says. */
  get readiness(): Readiness {
    const { gates, clock, draining, startsPending } = this.#options
    const init = this.#configured?.init
    return readiness({
      started: this.listening,
      draining: draining(),
      sinceStartMs: clock.monotonic() - (this.#listening?.since ?? Infinity),
      maxStartupMs: this.#configured?.settings.app.startupGate ?? 0,
      components: (init?.enabled ?? []).map((name) => ({
        gate: gates[name] ?? 'startup',
        everUp: init?.everConnected(name) ?? false,
        up: init?.isUp(name) ?? false,
      })),
      startsPending: startsPending(),
    })
  }

  isConfigured(configured: Configured): void {
    this.#configured = configured
  }

  listensAt(address: Address): void {
    this.#listening = { address, since: this.#options.clock.monotonic() }
  }

  #reached<T>(value: T | undefined): T {
    if (value !== undefined) return value
    throw new SluiceError('SLUICE_NOT_READY', `app "${this.#options.name}" has not been started`)
  }
}
