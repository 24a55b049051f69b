/**
 * The one way in: every operation of every component runs through `Operations.run`, which adds the deadline, the pool
 * slot, the breaker, retry of what may be repeated, span, metrics, log line and redaction.
 */
import type { AsyncResult } from '../core/async-result.ts'
import type { Duration } from '../core/duration.ts'
import type { Breaker } from '../policy/breaker.ts'

/** What is fixed about an operation; made once, at module level, never per call. */
export interface OperationSpec {
  /** Name in metrics, spans and errors: `get`, `transaction`. Never a statement's text or a value. */
  readonly name: string
  /** May it be sent again when it failed with a retryable error? A fact about the operation. */
  readonly idempotent: boolean
}

/** What the caller may say about one call. */
export interface CallOptions {
  /** Aborts this call. Rejects with the signal's own reason. */
  readonly signal?: AbortSignal | undefined
  /** Deadline of this call, waiting for a slot included. @default the component's */
  readonly timeout?: Duration | undefined
  /** 0 (first) to 9. @default 5 */
  readonly priority?: number | undefined
  /** A short name for what is called, such as the name of a prepared statement; shown in spans and slow-call logs. */
  readonly label?: string | undefined
}

/** What the body of an operation is handed. */
export interface Call {
  /** Aborts at the deadline, at cancel and at the caller's own abort. Made on first read, so read it only if used. */
  readonly signal: AbortSignal
  /** Milliseconds left until the deadline; Infinity where there is none. */
  readonly remainingMs: number
  /** 1 for the first try. */
  readonly attempt: number
}

export interface Operations {
  /**
   * Runs `body` under the limits. Rejects with SLUICE_NOT_READY, SLUICE_BREAKER_OPEN or SLUICE_POOL_FULL without running
   * it, with SLUICE_TIMEOUT at the deadline, with the signal's own reason at an abort, else with what the body threw:
   * sluice errors with component and operation added, errors of foreign code as they are.
   */
  run<T>(spec: OperationSpec, body: (call: Call) => Promise<T> | T, options?: CallOptions): AsyncResult<T>
  /** Read its state, isolate the dependency, or force calls through. Undefined where the limits say none. */
  readonly breaker: Breaker | undefined
  /** Operations that hold a slot. */
  readonly running: number
  /** Operations that wait for one. */
  readonly waiting: number
}

/** Limits of a component's operations, from its configuration. */
export interface OperationLimits {
  /** Default deadline of an operation, in milliseconds, waiting for a slot included. */
  readonly timeoutMs: number
  /** Operations under way at once; more wait. */
  readonly maxConcurrent: number
  /** Operations that may wait for a slot; more are refused with SLUICE_POOL_FULL. */
  readonly maxWaiting: number
  /** The setting of maxWaiting, or of what lets more run at once, for the hint of that refusal: `REDIS_MAX_WAITING`. */
  readonly raise?: string
  /**
   * Failures in a row that open the breaker; 0 for none. It also opens when half of the calls within ten seconds failed,
   * and there were at least 20 of them, and at least as many as this says.
   */
  readonly breakerThreshold: number
  /** Milliseconds that the breaker stays open before a probe. */
  readonly breakerResetMs: number
  /** Retries of an idempotent operation after its first try. */
  readonly retries: number
}
