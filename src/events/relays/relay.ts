/**
 * The relay: a subscription of the log that hands events to a broker.
 *
 *     read a page ──▶ publish, up to 5,000 at once ──▶ all confirmed ──▶ cursor
 *                          ├─ the broker is away, blocked or slow: what is not confirmed is sent again, for as long as it takes
 *                          └─ it will never take this one (too large, …): a dead letter of the relay, and the others go on
 *
 * One process at a time has a shard of it, fenced as with every subscription. One that dies between confirms and cursor
 * leaves events that are sent twice, with the same id.
 */
import { SluiceError } from '../../core/errors.ts'
import { moment } from '../../engine/moments.ts'
import type { StoredEvent } from '../decode.ts'
import { topicMatcher } from '../pattern.ts'
import type { SubscriptionSpec } from '../spec.ts'
import { isHopeless, type EventBroker, type WireEvent } from '../transports/broker.ts'
import { travelId } from './identity.ts'

/** Published at once: a page of the log, which bounds their bytes as well. */
const SIZE = 5_000
/** The broker's component has limits of its own. */
const NO_LIMIT_MS = 2_000_000_000
/** Of a dead letter that is redriven while the broker is away. */
const ATTEMPTS = 100
const BACKOFF = { baseMs: 100, capMs: 2_000 } as const

export const relayName = (kind: EventBroker['kind']): string => `relay:${kind}`

/** `source`: what ids begin with. */
export function relaySpec(
  broker: EventBroker,
  patterns: readonly string[],
  source: string,
): SubscriptionSpec {
  return Object.freeze({
    name: relayName(broker.kind),
    patterns,
    matches: topicMatcher(patterns),
    types: new Map(),
    handler: { kind: 'relay', run: (events, signal) => relay(broker, source, events, signal), size: SIZE },
    from: 'now',
    ordered: true,
    attempts: ATTEMPTS,
    backoff: BACKOFF,
    timeoutMs: NO_LIMIT_MS,
    concurrency: 1,
    shards: 1,
    transaction: false,
    onFail: 'hold',
  } satisfies SubscriptionSpec)
}

async function relay(
  broker: EventBroker,
  source: string,
  events: readonly StoredEvent[],
  signal: AbortSignal,
): Promise<readonly (Error | undefined)[]> {
  // What came from a broker goes to none.
  const places: number[] = []
  for (const [place, event] of events.entries()) if (event.head.o === undefined) places.push(place)
  const outcome: (Error | undefined)[] = Array.from({ length: events.length })
  if (places.length === 0) return outcome
  await broker.open(signal)
  const errors = await broker.publish(
    places.map((place) => new OnItsWay(events[place]!, source)),
    { signal },
  )
  for (const [index, place] of places.entries()) {
    const error = errors[index]
    if (error !== undefined) outcome[place] = isHopeless(error) ? undeliverable(error) : error
  }
  moment('events.relayed', places.length)
  return outcome
}

/** With the code that makes it a dead letter. */
function undeliverable(error: Error): SluiceError {
  return new SluiceError('SLUICE_INVALID_DATA', `the broker cannot take it: ${error.message}`, {
    cause: error,
  })
}

/** Read once, when its message is made: of thousands most wait, and what they were made into would wait with them. */
class OnItsWay implements WireEvent {
  readonly #event: StoredEvent
  readonly #source: string

  constructor(event: StoredEvent, source: string) {
    this.#event = event
    this.#source = source
  }

  get id(): string {
    return travelId(this.#source, this.#event.row.id)
  }
  get topic(): string {
    return this.#event.topic
  }
  get version(): number {
    return this.#event.row.version
  }
  get key(): string | undefined {
    return this.#event.row.key ?? undefined
  }
  get headers(): Readonly<Record<string, string>> {
    return this.#event.headers
  }
  get traceparent(): string | undefined {
    return this.#event.head.t
  }
  get requestId(): string | undefined {
    return this.#event.head.r
  }
  get time(): Date {
    return new Date(this.#event.row.at)
  }
  get body(): string {
    return this.#event.row.body ?? 'null'
  }
}
