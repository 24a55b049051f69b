/** What an `events()` component is once it is connected: the publisher, the reader of the log, and subscriptions at work. */
import type { Inspection } from '../app/component.ts'
import { toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { moveCursors, type CursorMove } from '../engine/log/cursor.ts'
import { LogReader } from '../engine/log/reader.ts'
import { tendLog } from '../engine/log/retention.ts'
import { Topics } from '../engine/log/topics.ts'
import { dueTasks, subscriptionStates } from '../engine/log/watch.ts'
import type { Page } from '../engine/log/window.ts'
import { Batcher } from '../pool/batcher.ts'
import type { Logger } from '../telemetry/log.ts'
import type { SubscriptionLag } from './api.ts'
import { StoredEvent } from './decode.ts'
import { LATER_QUEUE, laterLoop } from './later.ts'
import type { SubscriberHost } from './parts.ts'
import { topicMatcher } from './pattern.ts'
import { Publisher } from './publisher.ts'
import { ASKED, Queries } from './queries.ts'
import { Rounds } from './rounds.ts'
import type { EventsConfig } from './section.ts'
import type { SubscriptionSpec } from './spec.ts'
import { Subscriber } from './subscriber.ts'
import type { TaskLoop } from './task-loop.ts'

/** Between two counts of what waits. */
const FIGURES_EVERY_MS = 15_000
/** Between two looks after partitions, ticks and what is old. */
const TEND_EVERY_MS = 60_000

export class EventsRuntime {
  readonly #engine: Engine
  readonly #config: EventsConfig
  readonly #component: string
  readonly #log: Logger
  readonly #topics: Topics
  readonly #reader: LogReader
  readonly #cursors: Batcher<CursorMove, boolean>
  readonly #subscribers = new Map<string, Subscriber>()
  readonly #host: SubscriberHost
  readonly #watch: Rounds
  readonly #tend: Rounds
  readonly #figures: Rounds
  #later: TaskLoop | undefined
  #lags: readonly SubscriptionLag[] = []
  #takesNoMore = false
  readonly publisher: Publisher
  readonly queries: Queries

  constructor(engine: Engine, config: EventsConfig, component: string, log: Logger) {
    const { db, clock, metrics } = engine
    this.#engine = engine
    this.#config = config
    this.#component = component
    this.#log = log
    this.#topics = new Topics(db)
    this.#reader = new LogReader({ engine, topics: this.#topics, pollMs: config.pollInterval })
    this.publisher = new Publisher(engine, this.#topics)
    this.queries = new Queries(engine, log)
    this.#cursors = new Batcher<CursorMove, boolean>({
      name: 'events.cursor',
      write: (moves) => moveCursors(db, moves),
      maxDelay: 5,
      maxWaiting: 100_000,
      clock,
    })
    const delivered = metrics.counter('sluice_events_delivered_total', 'Deliveries of events that are done.')
    const pages = new WeakMap<Page, readonly StoredEvent[]>()
    this.#host = {
      engine,
      log,
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
    this.#watch = new Rounds(engine, log, 'the watch over subscriptions', config.pollInterval, () =>
      this.#look(),
    )
    this.#figures = new Rounds(engine, log, 'the figures of subscriptions', FIGURES_EVERY_MS, () =>
      this.#count(),
    )
    this.#tend = new Rounds(engine, log, 'the care for the log', TEND_EVERY_MS, (signal) =>
      this.#care(signal),
    )
  }

  /** Begins what goes on beside publishing. */
  async open(): Promise<void> {
    const queue = await this.#engine.queues.id(LATER_QUEUE)
    this.#later = laterLoop(this.#engine, this.#log, this.#topics, queue)
    this.#watch.start({ hint: ASKED })
    // Not while all processes start.
    this.#figures.start({ delayMs: FIGURES_EVERY_MS * this.#engine.random() })
    this.#tend.start({ delayMs: TEND_EVERY_MS * this.#engine.random() })
  }

  get inspection(): Inspection {
    return {
      subscriptions: Object.fromEntries(
        [...this.#subscribers].map(([name, each]) => [name, { ...each.inspection, ...this.#lagOf(name) }]),
      ),
      topics: this.#topics.all.length,
    }
  }

  subscriber(name: string): Subscriber | undefined {
    return this.#subscribers.get(name)
  }

  /** Begins to deliver. */
  async subscribe(spec: SubscriptionSpec): Promise<void> {
    await this.#add(spec).start()
    this.#watch.look()
  }

  /** Begins to deliver as soon as the database lets it. Rejects when it never can, or was stopped before. */
  async subscribeLater(spec: SubscriptionSpec): Promise<void> {
    if (this.#takesNoMore) return
    await this.#add(spec).startInTime()
    this.#watch.look()
  }

  #add(spec: SubscriptionSpec): Subscriber {
    const subscriber = new Subscriber(this.#host, spec)
    this.#subscribers.set(spec.name, subscriber)
    return subscriber
  }

  async unsubscribe(spec: SubscriptionSpec): Promise<void> {
    const subscriber = this.#subscribers.get(spec.name)
    if (subscriber?.spec !== spec) return
    await subscriber.stop()
    if (this.#subscribers.get(spec.name) === subscriber) this.#subscribers.delete(spec.name)
  }

  /** Ends deliveries; publishing goes on. */
  async stopIntake(signal: AbortSignal): Promise<void> {
    this.#takesNoMore = true
    const ending = [
      this.#watch,
      this.#figures,
      this.#tend,
      ...(this.#later === undefined ? [] : [this.#later]),
    ]
    const stopped = await Promise.allSettled(
      [...this.#subscribers.values(), ...ending].map((each) => each.stop(signal)),
    )
    for (const result of stopped) {
      if (result.status === 'rejected') {
        this.#log.warn({ err: toError(result.reason) }, 'a subscription could not be stopped')
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

  /** What is asked of subscriptions, what is due, and who stands still. */
  async #look(): Promise<number | undefined> {
    const { db } = this.#engine
    const running = [...this.#subscribers.values()].filter(({ id }) => id !== undefined)
    const states =
      running.length === 0
        ? []
        : await subscriptionStates(
            db,
            running.map(({ id }) => id ?? 0),
          )
    for (const state of states) running.find(({ id }) => id === state.id)?.apply(state)
    for (const subscriber of running) {
      const stalled = subscriber.restartStalled(this.#config.stallTimeout)
      if (stalled > 0) {
        this.#engine.metrics
          .counter('sluice_events_stalled_total', 'Shards that stood still and were restarted.')
          .with({ component: this.#component, subscription: subscriber.spec.name })
          .add(stalled)
      }
    }
    const loops = running.flatMap(({ retries }) => retries ?? [])
    if (this.#later !== undefined) loops.push(this.#later)
    const due = await dueTasks(
      db,
      loops.map(({ queue }) => queue),
    )
    let next: number | undefined
    for (const loop of loops) {
      const ms = due.get(loop.queue)
      if (ms === undefined) continue
      if (ms <= 0) loop.look()
      else next = Math.min(next ?? Infinity, ms)
    }
    return next
  }

  /** What waits for the subscriptions of this process, for metrics and for those who look. */
  async #count(): Promise<undefined> {
    if (this.#subscribers.size === 0) return
    const { metrics } = this.#engine
    this.#lags = (await this.queries.lag()).filter(({ name }) => this.#subscribers.has(name))
    for (const { name, events, oldestMs, retrying, parkedKeys, dead } of this.#lags) {
      const labels = { component: this.#component, subscription: name }
      metrics.gauge('sluice_events_lag', 'Events that a subscription has not read.').with(labels).set(events)
      metrics
        .gauge('sluice_events_oldest_seconds', 'Age of the oldest event that a subscription has not read.')
        .with(labels)
        .set(oldestMs / 1_000)
      metrics
        .gauge('sluice_events_retrying', 'Deliveries that wait for an attempt.')
        .with(labels)
        .set(retrying)
      metrics
        .gauge('sluice_events_parked_keys', 'Keys behind an event that failed.')
        .with(labels)
        .set(parkedKeys)
      metrics.gauge('sluice_events_dead', 'Dead letters of a subscription.').with(labels).set(dead)
    }
  }

  /** As it was counted last. */
  #lagOf(subscription: string): Inspection {
    const lag = this.#lags.find(({ name }) => name === subscription)
    if (lag === undefined) return {}
    const { events, oldestMs, parkedKeys, dead, missed } = lag
    return { lag: events, oldestMs: Math.round(oldestMs), parkedKeys, dead, missed }
  }

  async #care(signal: AbortSignal): Promise<undefined> {
    const { db, metrics } = this.#engine
    const matches = (patterns: readonly string[], topic: string): boolean => topicMatcher(patterns)(topic)
    const tended = await tendLog(db, this.#config.retention, matches, signal)
    for (const { subscription, events } of tended?.missed ?? []) {
      metrics
        .counter('sluice_events_missed_total', 'Events that retention deleted before they were read.')
        .with({ component: this.#component, subscription })
        .add(events)
      this.#log.error({ subscription, events }, 'retention deleted events that a subscription had not read')
    }
  }
}
