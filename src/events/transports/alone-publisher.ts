/** Publishing to a broker alone: resolves when the broker has confirmed. What many callers publish at once goes together. */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import { Batcher } from '../../pool/batcher.ts'
import type { PublishedEvent } from '../api.ts'
import type { EncodedEvent, EventHead } from '../encode.ts'
import type { EventBroker, WireEvent } from './broker.ts'

export class AlonePublisher {
  readonly #broker: EventBroker
  readonly #clock: Clock
  readonly #batcher: Batcher<WireEvent, PublishedEvent>

  constructor(broker: EventBroker, clock: Clock) {
    this.#broker = broker
    this.#clock = clock
    this.#batcher = new Batcher<WireEvent, PublishedEvent>({
      name: 'events.publish',
      write: async (events, { signal }) => {
        const errors = await broker.publish(events, { signal })
        return events.map(({ id }, index) => errors[index] ?? { id, scheduled: false })
      },
      maxItems: 1_000,
      maxBytes: 4_194_304,
      sizeOf: ({ body }) => body.length,
      maxDelay: 2,
      maxInFlight: 4,
      maxWaiting: 100_000,
      clock,
    })
  }

  async publish(event: EncodedEvent, signal: AbortSignal): Promise<PublishedEvent> {
    const wire = this.#wireOf(event)
    const delayMs = event.later?.delayMs ?? 0
    if (delayMs === 0) return this.#batcher.add(wire, { signal })
    const [error] = await this.#broker.publish([wire], { signal, delayMs })
    if (error !== undefined) throw error
    return { id: wire.id, scheduled: true }
  }

  /** In their order. Not all or none: what was confirmed before one failed stays published. */
  async publishMany(
    events: readonly EncodedEvent[],
    signal: AbortSignal,
  ): Promise<readonly PublishedEvent[]> {
    const wire = events.map((event) => this.#wireOf(event))
    const delays = events.map(({ later }) => later?.delayMs ?? 0)
    const errors: (Error | undefined)[] = []
    for (let from = 0; from < wire.length;) {
      const delayMs = delays[from]!
      let to = from + 1
      while (to < wire.length && delays[to] === delayMs) to++
      errors.push(...(await this.#broker.publish(wire.slice(from, to), { signal, delayMs })))
      from = to
    }
    const failures = errors.filter((error) => error !== undefined)
    const [first] = failures
    if (first !== undefined) throw incomplete(first, failures.length, events.length)
    return wire.map(({ id }, index) => ({ id, scheduled: delays[index]! > 0 }))
  }

  close(): Promise<void> {
    return this.#batcher.close({ timeout: '5s' })
  }

  #wireOf({ topic, version, key, head, body }: EncodedEvent): WireEvent {
    const { t, r, h } = head === undefined ? ({} as EventHead) : (JSON.parse(head) as EventHead)
    return {
      id: randomUUID(),
      topic,
      version,
      key,
      headers: h ?? {},
      traceparent: t,
      requestId: r,
      time: new Date(this.#clock.now()),
      body,
    }
  }
}

function incomplete(first: Error, failed: number, of: number): SluiceError {
  const code = isSluiceError(first) ? first.code : 'SLUICE_INTERNAL'
  return new SluiceError(code, `${failed} of ${of} events were not published: ${first.message}`, {
    cause: first,
    retryable: isSluiceError(first) && first.retryable,
    hint: 'Without a database a batch is not all or none: readers know what comes twice only where the data says so.',
  })
}
