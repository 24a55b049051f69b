/**
 * One attempt: the handler is run once, with a deadline. An attempt that is given up at its deadline, or because the
 * shard was lost, counts as failed at once; what the handler does later changes nothing.
 */
import { onAbort } from '../core/abort.ts'
import { isThenable } from '../core/async-result.ts'
import type { Clock } from '../core/clock.ts'
import { Deadlines, type DeadlineEntry, type DeadlineList } from '../core/deadlines.ts'
import { invalidArgument, SluiceError, toError } from '../core/errors.ts'
import { LazySignal } from '../core/lazy-signal.ts'
import type { Transaction } from '../components/postgres/api.ts'
import { runWithCarrier } from '../telemetry/context.ts'
import type { Logger } from '../telemetry/log.ts'
import { hasTraceSdk } from '../telemetry/otel-api.ts'
import { runInSpan, startSpan, type ActiveSpan } from '../telemetry/trace.ts'
import type { EventBatchContext, EventOrigin } from './api.ts'
import type { StoredEvent } from './decode.ts'
import type { SubscriptionSpec } from './spec.ts'

export interface AttemptOptions {
  /** 1 for the first. */
  readonly attempt: number
  /** Aborts when the shard is lost, or there is no more time to finish. */
  readonly signal: AbortSignal
  readonly tx?: Transaction | undefined
  readonly replay?: string | undefined
}

/** For each event, why it failed; undefined where it is done. */
export type Outcome = readonly (Error | undefined)[]

export class Attempts {
  readonly #spec: SubscriptionSpec
  readonly #clock: Clock
  readonly #log: Logger
  readonly #deadlines: Deadlines

  constructor(spec: SubscriptionSpec, clock: Clock, log: Logger) {
    this.#spec = spec
    this.#clock = clock
    this.#log = log
    this.#deadlines = new Deadlines(clock)
  }

  /** Never rejects. A single handler is given one event. */
  async run(events: readonly StoredEvent[], options: AttemptOptions): Promise<Outcome> {
    const { handler } = this.#spec
    if (handler.kind === 'batch') return this.#runBatch(handler.run, events, options)
    if (handler.kind === 'relay') return this.#runRelay(handler.run, events, options)
    const event = events[0]
    if (event === undefined) return []
    try {
      let data = event.data(this.#spec.types.get(event.topic))
      if (data instanceof Promise) data = await data
      const context = new Delivered(event, data, options, new LazySignal(), this.#log)
      const { head } = event
      const call = (): unknown =>
        hasTraceSdk()
          ? runInSpan(this.#span([event], options), () => handler.run(context))
          : handler.run(context)
      const answer =
        head.r === undefined && head.t === undefined ? call() : runWithCarrier(carrierOf(head), call)
      if (isThenable(answer)) await this.#within(answer, context.aborter, options.signal)
      return [undefined]
    } catch (error) {
      return [toError(error)]
    }
  }

  async #runBatch(
    run: Extract<SubscriptionSpec['handler'], { kind: 'batch' }>['run'],
    events: readonly StoredEvent[],
    options: AttemptOptions,
  ): Promise<Outcome> {
    const failures = new Map<string, Error>()
    const items: Delivered[] = []
    const aborter = new LazySignal()
    for (const event of events) {
      try {
        let data = event.data(this.#spec.types.get(event.topic))
        if (data instanceof Promise) data = await data
        items.push(new Delivered(event, data, options, aborter, this.#log))
      } catch (error) {
        failures.set(event.row.id, toError(error))
      }
    }
    if (items.length > 0) {
      let ids: ReadonlySet<string> | undefined
      try {
        const batch: EventBatchContext<unknown> = {
          events: items,
          get signal() {
            return aborter.signal
          },
          get tx() {
            return needTransaction(options.tx)
          },
          log: this.#log,
          fail: (id, error) => {
            ids ??= new Set(items.map((each) => each.id))
            if (!ids.has(id)) throw this.#unknown(id)
            failures.set(id, toError(error))
          },
        }
        const span = hasTraceSdk() ? this.#span(events, options) : undefined
        const answer = runInSpan(span, () => run(batch))
        if (isThenable(answer)) await this.#within(answer, aborter, options.signal)
      } catch (thrown) {
        const error = toError(thrown)
        for (const { id } of items) if (!failures.has(id)) failures.set(id, error)
      }
    }
    return events.map(({ row }) => failures.get(row.id))
  }

  async #runRelay(
    run: Extract<SubscriptionSpec['handler'], { kind: 'relay' }>['run'],
    events: readonly StoredEvent[],
    options: AttemptOptions,
  ): Promise<Outcome> {
    const aborter = new LazySignal()
    let outcome: Outcome = []
    try {
      const span = hasTraceSdk() ? this.#span(events, options) : undefined
      const answer = runInSpan(span, () => run(events, aborter.signal)).then((each) => void (outcome = each))
      await this.#within(answer, aborter, options.signal)
      return outcome
    } catch (thrown) {
      const error = toError(thrown)
      return events.map(() => error)
    }
  }

  /** Its event would count as delivered. */
  #unknown(id: unknown): SluiceError {
    return invalidArgument(`subscription "${this.#spec.name}": fail`, 'the id of an event of this batch', id)
  }

  /** Of one event a part of its publisher's trace; of a batch one for all, which points to those of the publishers. */
  #span(events: readonly StoredEvent[], { attempt, replay }: AttemptOptions): ActiveSpan | undefined {
    const { name, handler } = this.#spec
    const isBatch = handler.kind !== 'single'
    return startSpan(`event ${name}`, {
      kind: 'consumer',
      attributes: {
        'sluice.subscription': name,
        'sluice.event.attempt': attempt,
        ...(isBatch
          ? { 'sluice.events': events.length }
          : { 'sluice.event': events[0]?.topic ?? '', 'sluice.event.id': events[0]?.row.id ?? '' }),
        ...(replay === undefined ? {} : { 'sluice.replay': replay }),
      },
      detached: isBatch,
      links: isBatch ? events.map(({ head }) => head.t) : [],
    })
  }

  /** What was answered, or a rejection at the deadline or the abort. */
  #within(answer: PromiseLike<unknown>, aborter: LazySignal, signal: AbortSignal): Promise<void> {
    const { name, timeoutMs } = this.#spec
    return new Promise((resolve, reject) => {
      const deadline = new Deadline(() => {
        end()
        const error = new SluiceError(
          'SLUICE_TIMEOUT',
          `subscription "${name}": the handler was not done after ${timeoutMs} ms`,
          { retryable: true },
        )
        aborter.abort(error)
        reject(error)
      })
      const release = onAbort(signal, (reason) => {
        end()
        aborter.abort(reason)
        reject(toError(reason))
      })
      const end = (): void => {
        this.#deadlines.remove(deadline)
        release()
      }
      this.#deadlines.add(deadline, timeoutMs, this.#clock.monotonic())
      answer.then(
        () => {
          end()
          resolve()
        },
        (error: unknown) => {
          end()
          reject(toError(error))
        },
      )
    })
  }
}

class Deadline implements DeadlineEntry {
  deadlineAt = 0
  deadlineList: DeadlineList | undefined = undefined
  deadlinePrevious: DeadlineEntry | undefined = undefined
  deadlineNext: DeadlineEntry | undefined = undefined
  readonly deadlinePassed: () => void

  constructor(passed: () => void) {
    this.deadlinePassed = passed
  }
}

/** What a handler sees of an event. Getters, because most handlers look at few of these. */
class Delivered {
  readonly #event: StoredEvent
  readonly #options: AttemptOptions
  readonly aborter: LazySignal
  readonly data: unknown
  readonly log: Logger

  constructor(event: StoredEvent, data: unknown, options: AttemptOptions, aborter: LazySignal, log: Logger) {
    this.#event = event
    this.#options = options
    this.aborter = aborter
    this.data = data
    this.log = log
  }

  get id(): string {
    return this.#event.row.id
  }
  get topic(): string {
    return this.#event.topic
  }
  get key(): string | undefined {
    return this.#event.row.key ?? undefined
  }
  get headers(): Readonly<Record<string, string>> {
    return this.#event.headers
  }
  get publishedAt(): Date {
    return new Date(this.#event.row.at)
  }
  get attempt(): number {
    return this.#options.attempt
  }
  get replay(): string | undefined {
    return this.#options.replay
  }
  get traceparent(): string | undefined {
    return this.#event.head.t
  }
  get origin(): EventOrigin | undefined {
    const { o } = this.#event.head
    return o === undefined ? undefined : { source: o.s, id: o.i, time: new Date(o.t) }
  }
  get signal(): AbortSignal {
    return this.aborter.signal
  }
  get tx(): Transaction {
    return needTransaction(this.#options.tx)
  }
}

function needTransaction(tx: Transaction | undefined): Transaction {
  if (tx !== undefined) return tx
  throw new SluiceError('SLUICE_INVALID_ARGUMENT', 'tx: the subscription was not made with transaction: true')
}

function carrierOf({ r, t }: StoredEvent['head']): { requestId?: string; traceparent?: string } {
  return { ...(r === undefined ? {} : { requestId: r }), ...(t === undefined ? {} : { traceparent: t }) }
}
