/** A subscription on a broker alone: its handler is given what a reader brings, one event or many at a time. */
import type { Clock } from '../../core/clock.ts'
import { onAbort } from '../../core/abort.ts'
import { toError } from '../../core/errors.ts'
import { Batcher } from '../../pool/batcher.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { CounterCell } from '../../telemetry/metric.ts'
import { Attempts } from '../attempt.ts'
import type { SubscriptionSpec } from '../spec.ts'
import type { Arrival, EventBroker, ForeignMapping } from './broker.ts'
import { storedOf } from './stored.ts'

export interface AloneReaderOptions {
  readonly broker: EventBroker
  readonly spec: SubscriptionSpec
  /** What the broker knows it by. */
  readonly name: string
  readonly clock: Clock
  readonly log: Logger
  readonly delivered: CounterCell
  readonly map: ForeignMapping | undefined
}

export interface AloneReader {
  readonly ready: Promise<void>
  stop(signal?: AbortSignal): Promise<void>
}

/** What is held while a batch is handled: the next one. */
const BATCHES_HELD = 2
const MAX_HELD = 5_000

export function readAlone(options: AloneReaderOptions): AloneReader {
  const { broker, spec, name, clock, log, delivered, map } = options
  const attempts = new Attempts(spec, clock, log.child({ subscription: spec.name }))
  const ending = new AbortController()
  const { handler } = spec
  const batches = handler.kind === 'single' ? undefined : batcherOf(handler.size)
  const reader = broker.read({
    name,
    patterns: spec.patterns,
    matches: spec.matches,
    from: spec.from,
    ordered: spec.ordered,
    exclusive: false,
    concurrency:
      handler.kind === 'single' ? spec.concurrency : Math.min(MAX_HELD, handler.size * BATCHES_HELD),
    attempts: spec.attempts,
    backoff: spec.backoff,
    timeoutMs: spec.timeoutMs,
    map,
    handle: batches === undefined ? handleOne : (arrival) => batches.add(arrival, { signal: arrival.signal }),
  })

  async function handleOne(arrival: Arrival): Promise<void> {
    const { attempt, signal } = arrival
    const [error] = await attempts.run([storedOf(arrival)], { attempt, signal })
    if (error !== undefined) throw error
    delivered.add(1)
  }

  function batcherOf(size: number): Batcher<Arrival> {
    return new Batcher<Arrival>({
      name: `events: ${spec.name}`,
      maxItems: size,
      maxWaiting: MAX_HELD,
      clock,
      write: async (arrivals) => {
        const attempt = Math.max(...arrivals.map((each) => each.attempt))
        const outcome = await attempts.run(arrivals.map(storedOf), { attempt, signal: ending.signal })
        delivered.add(outcome.filter((error) => error === undefined).length)
        return outcome
      },
    })
  }

  return {
    ready: reader.ready,
    stop: async (signal) => {
      const release = signal === undefined ? undefined : onAbort(signal, (reason) => ending.abort(reason))
      try {
        await reader.stop(signal)
        await batches?.close({ timeout: '5s' })
      } catch (error) {
        log.warn({ err: toError(error), subscription: spec.name }, 'a subscription could not be stopped')
      } finally {
        release?.()
      }
    },
  }
}
