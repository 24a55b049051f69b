/** What an `events()` component is once it is connected: the publisher, the reader of the log, and subscriptions at work. */
import type { Inspection } from '../app/component.ts'
import { toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { dropOldDead } from '../engine/tasks/dead-retention.ts'
import { moveCursors, type CursorMove } from '../engine/log/cursor.ts'
import { LogReader } from '../engine/log/reader.ts'
import { tendLog } from '../engine/log/retention.ts'
import { Topics } from '../engine/log/topics.ts'
import { dueTasks, subscriptionStates, type SubscriptionState } from '../engine/log/watch.ts'
import type { Page } from '../engine/log/window.ts'
import { Batcher } from '../pool/batcher.ts'
import type { Logger } from '../telemetry/log.ts'
import { Announcement } from './announcement.ts'
import { Inbox } from './bridge/inbox.ts'
import { StoredEvent } from './decode.ts'
import { Figures } from './figures.ts'
import { LATER_QUEUE, laterLoop } from './later.ts'
import type { SubscriberHost } from './parts.ts'
import { topicMatcher } from './pattern.ts'
import { Publisher } from './publisher.ts'
import { ASKED, Queries } from './queries.ts'
import { Rounds } from './rounds.ts'
import type { EventsConfig } from './section.ts'
import type { SubscriptionSpec } from './spec.ts'
import { Stands } from './stands.ts'
import { Subscriber } from './subscriber.ts'
import type { TaskLoop } from './task-loop.ts'

/** Between two looks after partitions, ticks and what is old. */
const TEND_EVERY_MS = 60_000

export class EventsRuntime {
  readonly engine: Engine
  readonly #config: EventsConfig
  readonly #component: string
  readonly #log: Logger
  readonly #topics: Topics
  readonly #reader: LogReader
  readonly #cursors: Batcher<CursorMove, boolean>
  readonly #subscribers = new Map<string, Subscriber>()
  readonly #host: SubscriberHost
  readonly #announcement: Announcement
  readonly #stands: Stands
  readonly #watch: Rounds
  readonly #stalls: Rounds
  readonly #tend: Rounds
  readonly #figures: Figures
  #later: TaskLoop | undefined
  #takesNoMore = false
  readonly publisher: Publisher
  readonly queries: Queries

  constructor(engine: Engine, config: EventsConfig, component: string, log: Logger) {
    const { db, clock, metrics } = engine
    this.engine = engine
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
    this.#stands = new Stands(clock, () => this.#announcement.change())
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
      announce: () => this.#announcement.write(),
      stands: this.#stands,
      stateOf: async (id) => (await this.#states([id]))[0],
      tell: () => engine.wake.signal(ASKED),
    }
    this.#announcement = new Announcement(engine, component, log, () => ({
      reads: Object.fromEntries([...this.#subscribers].map(([name, { spec }]) => [name, spec.patterns])),
      stands: this.#stands.all,
    }))
    this.#watch = new Rounds(engine, log, 'the watch over subscriptions', config.pollInterval, () =>
      this.#look(),
    )
    // Without a question to the database, which may be what stands still.
    this.#stalls = new Rounds(engine, log, 'the watch over stalls', config.pollInterval, () =>
      this.#restartStalled(),
    )
    this.#figures = new Figures(engine, component, log, this.queries)
    this.#tend = new Rounds(engine, log, 'the care for the log', TEND_EVERY_MS, (signal) =>
      this.#care(signal),
    )
  }

  /** Begins what goes on beside publishing. */
  async open(): Promise<void> {
    const queue = await this.engine.queues.id(LATER_QUEUE)
    this.#later = laterLoop(this.engine, this.#log, this.#topics, queue)
    this.#watch.start({ hint: ASKED })
    this.#stalls.start()
    this.#figures.start()
    // Not while all processes start.
    this.#tend.start({ delayMs: TEND_EVERY_MS * this.engine.random() })
  }

  /** Where events that come from a broker are written. */
  inbox(): Inbox {
    return new Inbox(this.engine, this.#topics, this.#config.inboxKeep)
  }

  get inspection(): Inspection {
    return {
      subscriptions: Object.fromEntries(
        [...this.#subscribers].map(([name, each]) => [
          name,
          { ...each.inspection, ...this.#figures.of(name) },
        ]),
      ),
      unread: this.#figures.unread,
      topics: this.#topics.all.length,
    }
  }

  subscriber(name: string): Subscriber | undefined {
    return this.#subscribers.get(name)
  }

  /** Begins to deliver. */
  async subscribe(spec: SubscriptionSpec): Promise<void> {
    const subscriber = this.#add(spec)
    await subscriber.start().catch((error: unknown) => this.#forget(subscriber, error))
    this.#watch.look()
  }

  /** Begins to deliver as soon as the database lets it. Rejects when it never can, or was stopped before. */
  async subscribeLater(spec: SubscriptionSpec): Promise<void> {
    if (this.#takesNoMore) return
    const subscriber = this.#add(spec)
    await subscriber.startInTime().catch((error: unknown) => this.#forget(subscriber, error))
    this.#watch.look()
  }

  /** One that could not begin is nothing that this process reads. */
  #forget(subscriber: Subscriber, error: unknown): never {
    this.#remove(subscriber)
    throw error
  }

  #add(spec: SubscriptionSpec): Subscriber {
    const { name } = spec
    // Else it takes the place of one that is on its way out.
    if (!this.#subscribers.has(name)) {
      const hint = 'Subscribe under another name, or in one of the components.'
      this.engine.taken.take(placeOf(name), this, { component: this.#component, hint })
    }
    const subscriber = new Subscriber(this.#host, spec)
    this.#subscribers.set(name, subscriber)
    return subscriber
  }

  #remove(subscriber: Subscriber): void {
    const { name } = subscriber.spec
    if (this.#subscribers.get(name) !== subscriber) return
    this.#subscribers.delete(name)
    this.engine.taken.leave(placeOf(name), this)
    this.#announcement.look(true)
  }

  async unsubscribe(spec: SubscriptionSpec): Promise<void> {
    const subscriber = this.#subscribers.get(spec.name)
    if (subscriber?.spec !== spec) return
    await subscriber.stop()
    this.#remove(subscriber)
  }

  /** Ends deliveries; publishing goes on. */
  async stopIntake(signal: AbortSignal): Promise<void> {
    this.#takesNoMore = true
    const ending = [
      this.#watch,
      this.#stalls,
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
    for (const name of this.#subscribers.keys()) this.engine.taken.leave(placeOf(name), this)
    this.#subscribers.clear()
    this.#announcement.look(true)
    await this.#announcement.close()
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

  async #restartStalled(): Promise<undefined> {
    const { metrics } = this.engine
    const limit = this.#config.stallTimeout
    for (const subscriber of this.#subscribers.values()) {
      const stalled = subscriber.restartStalled(limit)
      if (stalled === 0) continue
      metrics
        .counter('sluice_events_stalled_total', 'Shards that stood still and were restarted.')
        .with({ component: this.#component, subscription: subscriber.spec.name })
        .add(stalled)
    }
    const givenUp = this.#reader.giveUpStalled(limit)
    if (givenUp === 0) return
    this.#log.error({ givenUp, limitMs: limit }, 'reads of the log had no answer, and are asked again')
    metrics
      .counter(
        'sluice_events_reads_given_up_total',
        'Reads of the log that had no answer, and were asked again.',
      )
      .with({ component: this.#component })
      .add(givenUp)
  }

  /** What is asked of subscriptions, and what is due. */
  async #look(): Promise<number | undefined> {
    const { db } = this.engine
    const running = [...this.#subscribers.values()].filter(({ id }) => id !== undefined)
    this.#announcement.look()
    const states = await this.#states(running.flatMap(({ id }) => id ?? []))
    const known = new Map(states.map((state) => [state.id, state]))
    await Promise.all(running.map((each) => each.apply(known.get(each.id ?? 0))))
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

  async #states(ids: readonly number[]): Promise<readonly SubscriptionState[]> {
    if (ids.length === 0) return []
    const { db, worker } = this.engine
    return subscriptionStates(db, ids, { worker: worker.lease?.id, component: this.#component })
  }

  async #care(signal: AbortSignal): Promise<undefined> {
    const { db, metrics } = this.engine
    const matches = (patterns: readonly string[], topic: string): boolean => topicMatcher(patterns)(topic)
    const tended = await tendLog(db, this.#config.retention, matches, signal)
    await dropOldDead(db, 'deliveries', this.#config.keepDead, signal)
    for (const { subscription, events } of tended?.missed ?? []) {
      metrics
        .counter('sluice_events_missed_total', 'Events that retention deleted before they were read.')
        .with({ component: this.#component, subscription })
        .add(events)
      this.#log.error({ subscription, events }, 'retention deleted events that a subscription had not read')
    }
  }
}

const placeOf = (subscription: string): string => `subscription "${subscription}"`
