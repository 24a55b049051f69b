/** The front door: every public name of `sluice`, one by one. */
export { createApp, type Address, type App, type AppInit } from './app/app.ts'
export { service } from './app/service.ts'
export type {
  AppFacts,
  Components,
  Http,
  Service,
  ServiceArgument,
  ServiceExtras,
  ServiceFunction,
  ServiceHandle,
  ServiceState,
  ServiceStatus,
} from './app/service.ts'
export type { AppOptions, HealthOptions, ShutdownOptions } from './app/options.ts'
export type { HttpOptions } from './app/http/options.ts'
export type { Gate, HealthReport, Readiness } from './app/health.ts'
export type { InitStatus } from './app/init-status.ts'
export type { TimelineEntry } from './app/timeline.ts'
export type {
  ApiOf,
  Component,
  ComponentBase,
  ComponentContext,
  ComponentDefinition,
  ComponentState,
  ComponentStatus,
  Inspection,
  OperationLimits,
  PoolStatus,
  Requirement,
  SubmitOptions,
} from './app/component.ts'
export { AsyncResult, isAsyncResult, type AsyncResultStatus, type StartedCall } from './core/async-result.ts'
export { BatchResult, type BatchItem, type BatchOutcome } from './core/batch-result.ts'
export { systemClock, type Clock, type Timer } from './core/clock.ts'
export type { Duration } from './core/duration.ts'
export { ERROR_CODES, hasCode, isSluiceError, SluiceError, type ErrorCode } from './core/errors.ts'
export { createBackground, type Background, type BackgroundOptions } from './pool/background.ts'
export {
  Batcher,
  type BatchAnswer,
  type BatcherOptions,
  type BatcherStats,
  type BatchTrigger,
} from './pool/batcher.ts'
export {
  WorkerPool,
  type CloseOptions,
  type OverflowPolicy,
  type PoolStats,
  type TaskCall,
  type TaskFunction,
  type TaskOptions,
  type WorkerPoolOptions,
} from './pool/worker-pool.ts'
export { silentLogger, type Logger } from './telemetry/log.ts'
export type { Metrics } from './telemetry/metric.ts'
export { backoffMs, type Backoff } from './core/backoff.ts'
export { Breaker } from './policy/breaker.ts'
export type { BreakerOptions } from './policy/breaker-options.ts'
export type { BreakerState } from './policy/breaker-state.ts'
export type { RateWindow } from './policy/failure-window.ts'
export {
  createRateLimiter,
  type RateDecision,
  type RateLimiter,
  type RateLimitOptions,
} from './policy/rate-limit.ts'
export { retry, type RetryOptions } from './policy/retry.ts'
export { RetryBudget, type RetryBudgetOptions } from './policy/retry-budget.ts'
export { withTimeout, type TimeoutOptions } from './policy/timeout.ts'
export { currentContext, type RequestContext } from './telemetry/context.ts'
export type { Call, CallOptions, Operations, OperationSpec } from './telemetry/operate.ts'
export { createLogger, type LoggerOptions, type ProcessLogger } from './telemetry/pino.ts'
