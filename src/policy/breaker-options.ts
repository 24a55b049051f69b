/** What may be said about a circuit breaker, checked once, when it is made. */
import type { Clock } from '../core/clock.ts'
import type { BreakerState } from './breaker-state.ts'
import { isDependencyFailure } from './failure.ts'
import { atLeast, type RateWindow } from './failure-window.ts'

export interface BreakerOptions {
  /** What it protects; named in its error. */
  readonly name: string
  readonly clock: Clock
  /** Failures in a row that open it; 0 for never. @default 5 */
  readonly consecutive?: number
  /** Opens it by the rate of failures, too; false for never. @default 50 % of at least 20 calls within 10 s */
  readonly window?: RateWindow | false
  /** Milliseconds from opening to the first probe, and the lease of a probe. @default 30000 */
  readonly resetMs?: number
  /** Probes under way at once while half-open. @default 1 */
  readonly probes?: number
  /** Probes that must succeed before it closes. @default 1 */
  readonly successesToClose?: number
  /** Which errors count as failures. @default timeouts and errors that say the dependency is unwell */
  readonly isFailure?: (error: unknown) => boolean
  /** Told of each change of state, after it. What it throws is ignored. */
  readonly onChange?: (state: BreakerState, previous: BreakerState) => void
}

/** With defaults filled in. */
export type ResolvedBreaker = Required<Omit<BreakerOptions, 'onChange'>> & Pick<BreakerOptions, 'onChange'>

export const DEFAULT_WINDOW: RateWindow = Object.freeze({
  durationMs: 10_000,
  minimumCalls: 20,
  failureRate: 0.5,
})

const defaults = Object.freeze({
  consecutive: 5,
  window: DEFAULT_WINDOW,
  resetMs: 30_000,
  probes: 1,
  successesToClose: 1,
})

/** Throws SLUICE_INVALID_ARGUMENT for a number outside its range. */
export function resolveBreaker(options: BreakerOptions): ResolvedBreaker {
  const { name, clock, isFailure = isDependencyFailure, onChange, window = defaults.window } = options
  const least = (option: 'consecutive' | 'resetMs' | 'probes' | 'successesToClose', minimum: number) =>
    atLeast(name, option, options[option] ?? defaults[option], minimum)
  return {
    name,
    clock,
    consecutive: least('consecutive', 0),
    resetMs: least('resetMs', 1),
    probes: least('probes', 1),
    successesToClose: least('successesToClose', 1),
    window,
    isFailure,
    ...(onChange !== undefined && { onChange }),
  }
}
