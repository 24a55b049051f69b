/** What the calls of one component share, and what those who look on see of a call. */
import type { Clock } from '../core/clock.ts'
import type { Deadlines } from '../core/deadlines.ts'
import { isSluiceError } from '../core/errors.ts'
import type { Breaker } from '../policy/breaker.ts'
import type { RetryBudget } from '../policy/retry-budget.ts'
import type { Slots } from '../pool/slots.ts'
import type { RequestContext } from './context.ts'
import type { CallOptions, OperationSpec } from './operate.ts'
import type { Follower } from './operation-follower.ts'

export type Outcome = 'ok' | 'error' | 'timeout' | 'cancelled' | 'refused'

/** What a call needs of the component's operations. */
export interface CallHost {
  readonly component: string
  readonly clock: Clock
  readonly slots: Slots
  readonly deadlines: Deadlines
  /** Undefined where the component has none. */
  readonly breaker: Breaker | undefined
  readonly budget: RetryBudget
  readonly retries: number
  /** As in OperationLimits. */
  readonly raise: string | undefined
  readonly followers: Follower[]
  readonly observer: CallObserver
  readonly retryDelayMs: (attempt: number) => number
  /** The error as the caller sees it: with component and operation, wrapped once. */
  wrap(error: unknown, spec: OperationSpec): unknown
}

/** Told what happens to calls. None of it may throw. */
export interface CallObserver {
  succeeded(call: ObservedCall, now: number): void
  ended(call: ObservedCall, outcome: Outcome, error: unknown): void
  waited(ms: number): void
  retried(): void
}

/** A call as it is seen from outside. */
export interface ObservedCall {
  readonly spec: OperationSpec
  readonly options: CallOptions | undefined
  /** Monotonic. */
  readonly startedAt: number
  /** 0 while nothing was sent. */
  readonly attempt: number
  /** The caller's. */
  readonly context: RequestContext | undefined
}

/** Milliseconds to wait before the next attempt; undefined where there is none to be made. */
export function retryDelay(
  { spec, attempt, deadlineAt }: Pick<ObservedCall, 'spec' | 'attempt'> & { readonly deadlineAt: number },
  error: unknown,
  now: number,
  { retries, budget, retryDelayMs }: CallHost,
): number | undefined {
  if (!spec.idempotent || attempt > retries) return undefined
  if (!isSluiceError(error) || !error.retryable) return undefined
  const delayMs = retryDelayMs(attempt)
  if (now + delayMs >= deadlineAt) return undefined
  return budget.tryTake() ? delayMs : undefined
}
