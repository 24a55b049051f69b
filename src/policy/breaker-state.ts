/** What a circuit breaker does at the moment, for those who look at it. */

/** A snapshot; times are monotonic milliseconds of the clock. */
export type BreakerState =
  | { readonly kind: 'closed'; readonly failuresInARow: number }
  | { readonly kind: 'open'; readonly since: number; readonly until: number }
  | {
      readonly kind: 'half-open'
      readonly underWay: number
      readonly succeeded: number
      readonly leaseUntil: number
    }
  | { readonly kind: 'held'; readonly as: 'open' | 'closed' }

/** In the order in which they let less through: a breaker held closed refuses nothing, one held open everything. */
const STRICTNESS = { closed: 0, 'held closed': 1, 'half-open': 2, open: 3, 'held open': 4 } as const

/** What the strictest of several breakers does; null where there are none. */
export function strictest(states: readonly BreakerState[]): BreakerState['kind'] | null {
  let found: BreakerState | undefined
  for (const state of states) if (found === undefined || rank(state) > rank(found)) found = state
  return found?.kind ?? null
}

function rank(state: BreakerState): number {
  return state.kind === 'held' ? STRICTNESS[`held ${state.as}`] : STRICTNESS[state.kind]
}
