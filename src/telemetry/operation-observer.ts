/**
 * What is measured and said of a component's operations.
 *
 * The metric of a call that goes well is one cell of its operation, found by the operation's name. Log lines are few on
 * purpose: the caller has the error already. A dependency that is down gives one line a minute for the whole component,
 * however many calls fail; errors that say nothing about the dependency are the caller's and go to the debug level.
 */
import type { Clock } from '../core/clock.ts'
import { hasCode, isSluiceError } from '../core/errors.ts'
import type { BreakerState } from '../policy/breaker-state.ts'
import { isDependencyFailure } from '../policy/failure.ts'
import type { Logger } from './log.ts'
import { LogLimit } from './log-limit.ts'
import type { CounterCell, Family, HistogramCell, Metrics } from './metric.ts'
import type { CallObserver, ObservedCall, Outcome } from './operation-host.ts'
import { describeError } from './redact.ts'

/** At most one line of a kind in this time. */
export const LOG_INTERVAL_MS = 60_000

/** What keeps the log lines of a component's operations few. */
export class OperationLogLimits {
  readonly failure: LogLimit
  readonly full: LogLimit
  readonly slow: LogLimit
  readonly recovered: LogLimit

  constructor(clock: Clock) {
    this.failure = new LogLimit(clock, LOG_INTERVAL_MS)
    this.full = new LogLimit(clock, LOG_INTERVAL_MS)
    this.slow = new LogLimit(clock, LOG_INTERVAL_MS)
    this.recovered = new LogLimit(clock, LOG_INTERVAL_MS)
  }
}

export interface ObserverOptions {
  readonly component: string
  readonly clock: Clock
  readonly log: Logger
  readonly logLimits: OperationLogLimits
  readonly metrics: Metrics | undefined
  /** A call that goes well and takes longer gets a line in the log. */
  readonly slowMs: number
}

export class OperationObserver implements CallObserver {
  readonly #component: string
  readonly #clock: Clock
  readonly #log: Logger
  readonly #limits: OperationLogLimits
  readonly #slowMs: number
  readonly #operations = new Map<string, OperationCells>()
  readonly #durations: Family<HistogramCell> | undefined
  readonly #waits: HistogramCell | undefined
  readonly #retries: CounterCell | undefined
  readonly #breakerOpened: CounterCell | undefined

  constructor(options: ObserverOptions) {
    const { component, clock, metrics } = options
    this.#component = component
    this.#clock = clock
    this.#log = options.log
    this.#limits = options.logLimits
    this.#slowMs = options.slowMs
    this.#durations = metrics?.histogram(
      'sluice_operation_duration_seconds',
      'How long operations of components took, waiting and retries included.',
    )
    this.#waits = metrics
      ?.histogram(
        'sluice_operation_wait_seconds',
        'How long operations that found every slot taken waited for one.',
      )
      .with({ component })
    this.#retries = metrics
      ?.counter('sluice_operation_retries_total', 'Attempts after the first of idempotent operations.')
      .with({ component })
    this.#breakerOpened = metrics
      ?.counter('sluice_breaker_opened_total', 'How often the circuit breaker has opened.')
      .with({ component })
  }

  succeeded(call: ObservedCall, now: number): void {
    const tookMs = now - call.startedAt
    this.#cellsOf(call.spec.name)?.ok.observe(tookMs / 1_000)
    if (tookMs >= this.#slowMs) this.#say(() => this.#logSlow(call, tookMs))
  }

  ended(call: ObservedCall, outcome: Outcome, error: unknown): void {
    const tookMs = this.#clock.monotonic() - call.startedAt
    this.#cellsOf(call.spec.name)
      ?.of(outcome)
      .observe(tookMs / 1_000)
    if (outcome !== 'cancelled') this.#say(() => this.#logFailure(call, error, tookMs))
  }

  waited(ms: number): void {
    this.#waits?.observe(ms / 1_000)
  }

  retried(): void {
    this.#retries?.add()
  }

  breakerChanged(state: BreakerState, previous: BreakerState): void {
    if (state.kind === 'open' && previous.kind === 'closed') this.#breakerOpened?.add()
    if (state.kind === 'closed' && previous.kind !== 'closed') {
      const suppressed = this.#limits.recovered.take()
      if (suppressed !== undefined) {
        this.#say(() =>
          this.#log.info({ component: this.#component, suppressed }, 'the circuit breaker closed again'),
        )
      }
    }
  }

  #cellsOf(name: string): OperationCells | undefined {
    const existing = this.#operations.get(name)
    if (existing !== undefined || this.#durations === undefined) return existing
    // A name made up per call would fill the memory; what comes beyond the limit is counted together.
    const operation = this.#operations.size < MAX_OPERATIONS ? name : 'other'
    const made = operation === name ? undefined : this.#operations.get(operation)
    const cells = made ?? new OperationCells(this.#durations, this.#component, operation)
    this.#operations.set(operation, cells)
    return cells
  }

  #logSlow(call: ObservedCall, tookMs: number): void {
    const suppressed = this.#limits.slow.take()
    if (suppressed === undefined) return
    this.#log.warn({ ...this.#facts(call, tookMs), suppressed }, 'slow operation')
  }

  #logFailure(call: ObservedCall, error: unknown, tookMs: number): void {
    // Why a component is away is said once by whoever connects it; the breaker's refusals follow a logged failure.
    if (hasCode(error, 'SLUICE_NOT_READY') || hasCode(error, 'SLUICE_BREAKER_OPEN')) return
    const isFailure = isDependencyFailure(error)
    if (!isFailure && !hasCode(error, 'SLUICE_POOL_FULL')) {
      this.#log.debug({ ...this.#facts(call, tookMs), err: describeError(error) }, 'operation failed')
      return
    }
    const suppressed = (isFailure ? this.#limits.failure : this.#limits.full).take()
    if (suppressed === undefined) return
    const code = isSluiceError(error) ? error.code : undefined
    this.#log.warn(
      { ...this.#facts(call, tookMs), code, suppressed, err: describeError(error) },
      isFailure ? 'operation failed: the dependency is unwell' : 'operation refused: too many wait already',
    )
  }

  #facts(call: ObservedCall, tookMs: number): Record<string, unknown> {
    return {
      component: this.#component,
      operation: call.spec.name,
      ...(call.options?.label === undefined ? {} : { label: call.options.label }),
      durationMs: Math.round(tookMs * 10) / 10,
      attempts: call.attempt,
      ...(call.context === undefined ? {} : { requestId: call.context.requestId }),
    }
  }

  /** A logger is foreign code: what it throws must not become the operation's result. */
  #say(line: () => void): void {
    try {
      line()
    } catch {
      // There is nowhere left to report it.
    }
  }
}

const MAX_OPERATIONS = 200

/** The duration histograms of one operation; that of success is made at once, the others when first needed. */
class OperationCells {
  readonly ok: HistogramCell
  readonly #durations: Family<HistogramCell>
  readonly #component: string
  readonly #operation: string
  readonly #others = new Map<Outcome, HistogramCell>()

  constructor(durations: Family<HistogramCell>, component: string, operation: string) {
    this.#durations = durations
    this.#component = component
    this.#operation = operation
    this.ok = durations.with({ component, operation, outcome: 'ok' })
  }

  of(outcome: Outcome): HistogramCell {
    let cell = this.#others.get(outcome)
    if (cell === undefined) {
      cell = this.#durations.with({ component: this.#component, operation: this.#operation, outcome })
      this.#others.set(outcome, cell)
    }
    return cell
  }
}
