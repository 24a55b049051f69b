/** What a replicator tells while it works: limited log lines, two histograms, the report every so often. */
import { toError } from '../core/errors.ts'
import { LogLimit } from '../telemetry/log-limit.ts'
import type { HistogramCell } from '../telemetry/metric.ts'
import type { DeadLetter, PartContext } from './contract.ts'
import { addUp } from './counters.ts'
import type { Lanes } from './lanes/lanes.ts'
import type { Slot } from './lanes/slot.ts'
import { streamIdText } from './stream-id.ts'

const WARN_EVERY_MS = 10_000
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Of whom it reports. */
export interface Reported {
  readonly role: string
  readonly lanes: Lanes
  readonly lagMs: number
  readonly breaker: { readonly state: { readonly kind: string } }
  readonly facts: Readonly<Record<string, unknown>>
}

export class Journal {
  readonly #context: PartContext
  readonly #warnings: LogLimit
  readonly #letters: LogLimit
  readonly #latency: HistogramCell
  readonly #writes: HistogramCell
  #lastError: Error | undefined

  constructor(context: PartContext) {
    const { clock, metrics, name } = context
    this.#context = context
    this.#warnings = new LogLimit(clock, WARN_EVERY_MS)
    this.#letters = new LogLimit(clock, WARN_EVERY_MS)
    const labels = { component: name }
    this.#latency = metrics
      .histogram('sluice_replicator_latency_seconds', 'From the receipt of a change to its storing.', BOUNDS)
      .with(labels)
    this.#writes = metrics
      .histogram('sluice_replicator_write_seconds', 'Time of one batch in the sink.', BOUNDS)
      .with(labels)
  }

  get lastError(): Error | undefined {
    return this.#lastError
  }

  note(thrown: unknown): void {
    const error = toError(thrown)
    this.#warn(error, error.message, {})
  }

  /** A batch could not be stored. */
  failed(lane: string, error: Error): void {
    this.#warn(error, 'a batch could not be stored; it is held', { lane })
  }

  /** A lane is at its bound. */
  full(lane: string, isOutage: boolean): void {
    const left = this.#warnings.take()
    const { log, name } = this.#context
    if (left !== undefined && isOutage)
      log.warn({ lane }, `${name}: a lane is at its bound, so the source is paused`)
  }

  stored(slots: readonly Slot[], durationMs: number, now: number): void {
    this.#writes.observe(durationMs / 1_000)
    for (const { receivedMs } of slots) this.#latency.observe((now - receivedMs) / 1_000)
  }

  dead(lane: string, { reason, detail }: DeadLetter): void {
    const left = this.#letters.take()
    const { log, name } = this.#context
    if (left !== undefined)
      log.warn({ lane, reason, detail, suppressed: left }, `${name}: a message cannot be applied`)
  }

  /** One line of figures every so often, until `signal` aborts; what stands by has none. */
  async report(runtime: Reported, everyMs: number, signal: AbortSignal): Promise<void> {
    const { clock, log, name } = this.#context
    while (!signal.aborted) {
      await clock.sleep(everyMs, { signal, keepAlive: false }).catch(() => {})
      if (signal.aborted || runtime.role !== 'active') continue
      const { batches, ...sums } = addUp(runtime.lanes.lanes.map(({ counters }) => counters))
      const { cursor, held, inFlight } = runtime.lanes
      log.info(
        {
          ...sums,
          batches,
          pending: held,
          inFlight,
          lagMs: Math.round(runtime.lagMs),
          cursor: cursor === undefined ? null : streamIdText(cursor),
          breaker: runtime.breaker.state.kind,
          ...runtime.facts,
        },
        `${name}: ${sums.processed} processed, ${sums.conflated} conflated, ${sums.dead} dead, ${sums.dropped} dropped`,
      )
    }
  }

  #warn(error: Error, text: string, details: Readonly<Record<string, string>>): void {
    this.#lastError = error
    const { log, name } = this.#context
    const left = this.#warnings.take()
    if (left !== undefined) log.warn({ err: error, ...details, suppressed: left }, `${name}: ${text}`)
  }
}
