/** Makes the `Operations` of a component: one set of slots, breaker, retry budget and deadlines for all its calls. */
import type { AsyncResult } from '../core/async-result.ts'
import { backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { Deadlines } from '../core/deadlines.ts'
import { parseDuration } from '../core/duration.ts'
import { invalidArgument, type SluiceError } from '../core/errors.ts'
import { Breaker } from '../policy/breaker.ts'
import { DEFAULT_WINDOW } from '../policy/breaker-options.ts'
import { RetryBudget } from '../policy/retry-budget.ts'
import { Slots } from '../pool/slots.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metric.ts'
import type { Call, CallOptions, OperationLimits, OperationSpec, Operations } from './operate.ts'
import { OperationCall } from './operation-call.ts'
import { wrapOnce } from './operation-errors.ts'
import type { CallHost } from './operation-host.ts'
import { OperationLogLimits, OperationObserver } from './operation-observer.ts'
import { hasTraceSdk } from './otel-api.ts'
import { startSpan, type ActiveSpan } from './trace.ts'

export interface OperationsOptions {
  /** Name of the component, as the app calls it. */
  readonly component: string
  readonly kind: string
  readonly limits: OperationLimits
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Logger
  readonly metrics?: Metrics
  /** Why no operation may run now, or undefined when they may. Called for each operation, so it must be cheap. */
  readonly notReady: () => SluiceError | undefined
  /** A call that goes well and takes longer is logged. @default 1000, and at most half the deadline */
  readonly slowMs?: number
  /** Shared by all sets of operations of a component, so that they keep one line a minute together. @default its own */
  readonly logLimits?: OperationLogLimits
}

const RETRY_BACKOFF = { baseMs: 50, capMs: 2_000 } as const
const SLOW_MS = 1_000

/** Calls share slots, breaker and retry budget, so one set of operations is made for what fails and fills up together. */
export function createOperations(options: OperationsOptions): Operations {
  const { component, kind, clock, limits, random, notReady, log, metrics } = options
  const slowMs = Math.min(options.slowMs ?? SLOW_MS, limits.timeoutMs / 2)
  const logLimits = options.logLimits ?? new OperationLogLimits(clock)
  const observer = new OperationObserver({ component, clock, log, logLimits, metrics, slowMs })
  const breaker = createBreaker(options, observer)
  const slots = new Slots(limits.maxConcurrent, limits.maxWaiting)
  const host: CallHost = {
    component,
    clock,
    slots,
    breaker,
    observer,
    deadlines: new Deadlines(clock),
    budget: new RetryBudget(),
    retries: limits.retries,
    raise: limits.raise,
    followers: [],
    retryDelayMs: (attempt) => backoffMs(attempt, random(), RETRY_BACKOFF),
    wrap: (error, spec) => wrapOnce(error, component, spec),
  }
  metrics?.observe('sluice_operations_running', 'Operations under way.', { component }, () => slots.taken)
  metrics?.observe(
    'sluice_operations_waiting',
    'Operations that wait for a slot.',
    { component },
    () => slots.waiting,
  )
  return {
    breaker,
    get running() {
      return slots.taken
    },
    get waiting() {
      return slots.waiting
    },
    run<T>(
      spec: OperationSpec,
      body: (call: Call) => Promise<T> | T,
      callOptions?: CallOptions,
    ): AsyncResult<T> {
      const span = hasTraceSdk() ? beginSpan(component, kind, spec, callOptions) : undefined
      const call = new OperationCall(host, spec, body, callOptions, span, clock.monotonic())
      const reason = notReady() ?? (callOptions === undefined ? undefined : invalidOption(callOptions))
      if (reason !== undefined) call.refuse(reason)
      else
        call.start(
          callOptions?.timeout === undefined ? limits.timeoutMs : parseDuration(callOptions.timeout)!,
        )
      return call.result
    },
  }
}

function createBreaker(options: OperationsOptions, observer: OperationObserver): Breaker | undefined {
  const { component, clock, limits, metrics } = options
  if (limits.breakerThreshold === 0) return undefined
  const breaker = new Breaker({
    name: component,
    clock,
    consecutive: limits.breakerThreshold,
    // Where fewer failures in a row mean nothing, so do fewer calls of which half fail.
    window: {
      ...DEFAULT_WINDOW,
      minimumCalls: Math.max(DEFAULT_WINDOW.minimumCalls, limits.breakerThreshold),
    },
    resetMs: limits.breakerResetMs,
    onChange: (state, previous) => observer.breakerChanged(state, previous),
  })
  const help = 'Circuit breakers that let no calls, or only probes, through.'
  metrics?.observe('sluice_breaker_open', help, { component }, () => {
    const { state } = breaker
    return state.kind === 'closed' || (state.kind === 'held' && state.as === 'closed') ? 0 : 1
  })
  return breaker
}

/** Names of OpenTelemetry's conventions for what a component's kind speaks to. */
const SYSTEMS: Readonly<Record<string, string>> = { postgres: 'postgresql', redis: 'redis', mongo: 'mongodb' }

function beginSpan(
  component: string,
  kind: string,
  spec: OperationSpec,
  options: CallOptions | undefined,
): ActiveSpan | undefined {
  const system = SYSTEMS[kind]
  return startSpan(`${component} ${spec.name}`, {
    kind: 'client',
    attributes: {
      'sluice.component': component,
      'sluice.kind': kind,
      'sluice.operation': spec.name,
      ...(system === undefined ? {} : { 'db.system.name': system, 'db.operation.name': spec.name }),
      ...(options?.label === undefined ? {} : { 'sluice.label': options.label }),
    },
  })
}

function invalidOption(options: CallOptions): SluiceError | undefined {
  const { priority, timeout } = options
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= 0 && priority <= 9)) {
    return invalidArgument('priority', 'a whole number from 0 to 9', priority)
  }
  if (timeout !== undefined && parseDuration(timeout) === undefined) {
    return invalidArgument('timeout', "milliseconds or a duration such as '5s'", timeout)
  }
  return undefined
}
