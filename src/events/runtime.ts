/** What an `events()` component is once it is connected: the publisher, the reader of the log, and subscriptions at work. */
import { toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { moveCursors, type CursorMove } from '../engine/log/cursor.ts'
import { LogReader } from '../engine/log/reader.ts'
import { Topics } from '../engine/log/topics.ts'
import type { Page } from '../engine/log/window.ts'
import { Batcher } from '../pool/batcher.ts'
import { StoredEvent } from './decode.ts'
import { Publisher } from './publisher.ts'
import type { EventsConfig } from './section.ts'
import type { SubscriptionSpec } from './spec.ts'
import type { SubscriberHost } from './parts.ts'
import { Subscriber } from './subscriber.ts'

export class EventsRuntime {
  readonly #engine: Engine
  readonly #topics: Topics
  readonly #reader: LogReader
  readonly #cursors: Batcher<CursorMove, boolean>
  readonly #subscribers = new Map<string, Subscriber>()
  readonly publisher: Publisher
  readonly #host: SubscriberHost

  constructor(engine: Engine, config: EventsConfig, component: string) {
    this.#engine = engine
    this.#topics = new Topics(engine.db)
    this.#reader = new LogReader({ engine, topics: this.#topics, pollMs: config.pollInterval })
    this.publisher = new Publisher(engine, this.#topics)
    this.#cursors = new Batcher<CursorMove, boolean>({
      name: 'events.cursor',
      write: (moves) => moveCursors(engine.db, moves),
      maxDelay: 5,
      maxWaiting: 100_000,
      clock: engine.clock,
    })
    const delivered = engine.metrics.counter('sluice_events_delivered_total', 'Events that were done.')
    const pages = new WeakMap<Page, readonly StoredEvent[]>()
    this.#host = {
      engine,
      topics: this.#topics,
      reader: this.#reader,
      decoded: (page) => {
        let events = pages.get(page)
        if (events === undefined) {
          events = page.rows.map((row) => new StoredEvent(row, this.#topics.name(row.topic) ?? ''))
          pages.set(page, events)
        }
        return events
      },
      moveCursor: (move) => this.#cursors.add(move),
      delivered: (subscription) => delivered.with({ component, subscription }),
    }
  }

  subscriber(name: string): Subscriber | undefined {
    return this.#subscribers.get(name)
  }

  /** Begins to deliver. */
  async subscribe(spec: SubscriptionSpec): Promise<void> {
    const subscriber = new Subscriber(this.#host, spec)
    this.#subscribers.set(spec.name, subscriber)
    await subscriber.start()
  }

  /** Begins to deliver as soon as the database lets it. Rejects when it never can, or was stopped before. */
  async subscribeLater(spec: SubscriptionSpec): Promise<void> {
    const subscriber = new Subscriber(this.#host, spec)
    this.#subscribers.set(spec.name, subscriber)
    await subscriber.startInTime()
  }

  async unsubscribe(spec: SubscriptionSpec): Promise<void> {
    const subscriber = this.#subscribers.get(spec.name)
    if (subscriber?.spec !== spec) return
    await subscriber.stop()
    if (this.#subscribers.get(spec.name) === subscriber) this.#subscribers.delete(spec.name)
  }

  /** Ends deliveries; publishing goes on. */
  async stopIntake(signal: AbortSignal): Promise<void> {
    const stopped = await Promise.allSettled([...this.#subscribers.values()].map((each) => each.stop(signal)))
    for (const result of stopped) {
      if (result.status === 'rejected') {
        this.#engine.log.warn({ err: toError(result.reason) }, 'a subscription could not be stopped')
      }
    }
    this.#subscribers.clear()
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.stopIntake(signal)
    const results = await Promise.allSettled([
      this.publisher.close(),
      this.#cursors.close(),
      this.#reader.close(),
    ])
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }
}
