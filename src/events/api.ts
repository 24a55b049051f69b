/**
 * What services are handed for `events()`, and what it promises.
 *
 * - **At least once.** An event that `publish` acknowledged reaches every subscription of its topic that exists by then,
 *   until its handler resolves or its attempts are used up (then it is a dead letter of that subscription): through
 *   crashes of any process and of the database. It may come more than once: when a process dies after the handler's work
 *   and before the subscription's place in the log is written down.
 * - **Exactly-once effect** for what the handler does through `tx` (`transaction: true`): it commits together with that
 *   place, or not at all. For readers that get events through a broker: `once`.
 * - **With the user's data.** With `{ tx }` the event is there when the transaction commits, and never otherwise.
 * - **Order** is a promise only with `ordered: 'key'`: events of one key then come one at a time, in the order of their
 *   ids, retries included. Without it they come nearly so: batches begin in the order of the log.
 *   Ids of one key are in the order of their publishing where each was published after the one before had committed.
 * - **Nothing is skipped**, whatever the order in which transactions commit.
 * - **Subscriptions do not know each other.** One that is slow, fails or stands still takes nothing from the others, and
 *   costs a publisher nothing.
 */
import type { ComponentBase } from '../app/component.ts'
import type { Transaction } from '../components/postgres/api.ts'
import type { AsyncResult } from '../core/async-result.ts'
import type { Duration } from '../core/duration.ts'
import type { Logger } from '../telemetry/log.ts'
import type { EventType } from './event.ts'

export interface PublishOptions {
  /** Commits with this transaction, or not at all. */
  readonly tx?: Transaction | undefined
  /** What it is about: `ordered: 'key'` keeps the order of events of one key. At most 200 characters. */
  readonly key?: string | undefined
  /** Text for the readers, beside the data. At most 50, of 8,000 characters together. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /**
   * Published when this has passed: only then it gets its id and its place in the log. Until then it is a task, which
   * survives crashes as well; the id that is answered is the task's. At most a hundred years. @default 0
   */
  readonly delay?: Duration | undefined
  /**
   * 0 (first) to 9. Given, the event is a task first, as with `delay`; of those that are due the most urgent is published
   * first. In the log all events are equal. @default at once
   */
  readonly priority?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** One event to be published by `publishMany`. */
export interface EventInput<Input> extends Omit<PublishOptions, 'tx' | 'signal'> {
  readonly data: Input
}

export interface PublishedEvent {
  /** Of the event; of its task where `scheduled`. */
  readonly id: string
  /** It waits for its time or its turn, and is not in the log yet. */
  readonly scheduled: boolean
}

/** Where an event comes from that came through a broker. */
export interface EventOrigin {
  /** Who published it: the name of the app, of a program in whatever language. */
  readonly source: string
  /** Unique with the source; the same at each delivery. */
  readonly id: string
  readonly time: Date
}

export interface EventContext<Data> {
  readonly id: string
  readonly topic: string
  readonly data: Data
  readonly key: string | undefined
  readonly headers: Readonly<Record<string, string>>
  /** By the database's clock. */
  readonly publishedAt: Date
  /** 1 for the first. */
  readonly attempt: number
  /** Id of the replay that it comes from; undefined for one that is live. */
  readonly replay: string | undefined
  /** W3C trace context of the publisher. */
  readonly traceparent: string | undefined
  /** Undefined for one that was published into this log. */
  readonly origin: EventOrigin | undefined
  /** Aborts at the timeout, when the shard is lost to another process, and late in a shutdown. */
  readonly signal: AbortSignal
  /** With `transaction: true`: what is done through it commits together with the subscription's place in the log. */
  readonly tx: Transaction
  readonly log: Logger
}

export interface EventBatchContext<Data> {
  readonly events: readonly Omit<EventContext<Data>, 'tx' | 'signal' | 'log'>[]
  readonly signal: AbortSignal
  readonly tx: Transaction
  readonly log: Logger
  /**
   * Fails one event; the others are done. Throwing fails all of which nothing was said. Not with `transaction: true`.
   * Throws SLUICE_INVALID_ARGUMENT where no event of the batch has the id, which fails the batch where it is not caught.
   */
  readonly fail: (id: string, error: unknown) => void
}

export type EventHandler<Data> = (context: EventContext<Data>) => unknown
export type EventBatchHandler<Data> = (context: EventBatchContext<Data>) => unknown

export interface SubscribeOptions {
  /**
   * Where a subscription of this name begins that the database does not know yet; one that it knows goes on where it
   * was. @default 'now'
   */
  readonly from?: 'now' | 'beginning' | undefined
  /** `key`: events of one key one at a time and in order; those without a key as they come. @default undefined */
  readonly ordered?: 'key' | undefined
  /** Deliveries of one event, the first included, 1 to 100. @default 8 */
  readonly attempts?: number | undefined
  /** Waits between attempts: random between 0 and `base` doubled for each attempt, at most `max`; each at most 365 days. */
  readonly backoff?: { readonly base?: Duration | undefined; readonly max?: Duration | undefined } | undefined
  /** Limit of one attempt, 1 ms to 24 days. @default '30s' */
  readonly timeout?: Duration | undefined
  /** Handlers that run at once in each shard. @default EVENTS_CONCURRENCY */
  readonly concurrency?: number | undefined
  /** Processes that may share the subscription, 1 to 64: events are dealt to shards by key, or by id. @default 1 */
  readonly shards?: number | undefined
  /** Run the handler in a transaction, given as `tx`; one event, or one batch, at a time. @default false */
  readonly transaction?: boolean | undefined
  /**
   * When the attempts in memory are used up. `park`: the event is retried from a task and the others go on; with
   * `ordered: 'key'` later events of its key wait behind it. `skip`: retried from a task, and nothing waits for it.
   * `stop`: the shard stops in front of it, and tries again until it succeeds. @default 'park'
   */
  readonly onFail?: 'park' | 'skip' | 'stop' | undefined
}

export interface BatchSubscribeOptions extends Omit<SubscribeOptions, 'concurrency'> {
  /** Events handed to the handler at once, at most, 1 to 5,000. */
  readonly batch: number
}

/** A handler at work. */
export interface Subscription extends AsyncDisposable {
  readonly name: string
  /** Shards that this process works on. */
  readonly shards: number
  /** Resolves when its place in the log is known: what is published from then on reaches it. */
  ready(): Promise<void>
  /** Starts nothing more and waits for what runs; other processes take over. */
  stop(): Promise<void>
}

export interface SubscriptionLag {
  readonly name: string
  readonly patterns: readonly string[]
  /** Events of its topics behind its slowest shard, counted up to 10,000. */
  readonly events: number
  /** Age of the oldest of them; 0 without one. */
  readonly oldestMs: number
  /** Deliveries that wait for another attempt. */
  readonly retrying: number
  /** Keys that wait behind an event that failed. */
  readonly parkedKeys: number
  readonly dead: number
  /** Events that retention deleted before they were read. */
  readonly missed: number
  readonly paused: boolean
  readonly pausedWhy: string | undefined
  /** Milliseconds since its cursor moved last. */
  readonly idleMs: number
  /** Live processes that subscribe to it. */
  readonly processes: number
}

export interface TopicInfo {
  readonly name: string
  readonly id: number
  readonly createdAt: Date
  /** Of the newest event that is kept; undefined without one. */
  readonly lastAt: Date | undefined
}

export interface DeliveryError {
  readonly at: Date
  readonly attempt: number
  /** Code or name, message and causes, a line each: at most 2,000 characters, without credentials. */
  readonly error: string
}

export interface DeadEvent {
  /** Of the dead letter. */
  readonly id: string
  readonly eventId: string
  readonly subscription: string
  readonly topic: string
  readonly key: string | undefined
  /** As it was published. */
  readonly data: unknown
  readonly attempt: number
  readonly errors: readonly DeliveryError[]
  /** As the last of its errors tells it. */
  readonly why: string
  readonly traceId: string | undefined
  readonly publishedAt: Date
  readonly diedAt: Date
}

export interface DeadEventFilter {
  readonly subscription?: string | undefined
  readonly ids?: readonly string[] | undefined
  readonly before?: Date | undefined
  /** @default 100, at most 10000 */
  readonly limit?: number | undefined
}

export interface RedriveEventsOptions extends DeadEventFilter {
  /** Delivered first; the rest follows when at most half of them failed again. @default 20 */
  readonly canary?: number | undefined
}

export interface RedrivenEvents {
  readonly redriven: number
  /** More than half of the canaries failed again: the rest stayed dead. */
  readonly stopped: boolean
}

export interface DeadEvents {
  list(filter?: DeadEventFilter): AsyncResult<readonly DeadEvent[]>
  get(id: string): AsyncResult<DeadEvent | undefined>
  /** Delivers them again with fresh attempts; a few first, the rest only if those do not mostly fail again. */
  redrive(options?: RedriveEventsOptions): AsyncResult<RedrivenEvents>
  /** Deletes them; how many. */
  drop(filter: DeadEventFilter): AsyncResult<number>
}

/**
 * `waiting`: for the time of its next attempt. `due`: its time has come. `running`: it is with its handler; of a
 * subscription with `ordered: 'key'` that is shown as `due`. `behind`: of such a subscription, behind another of its key.
 */
export type WaitingEventState = 'waiting' | 'due' | 'running' | 'behind'

/** A delivery that failed, or is behind one of its key that failed, and is tried again. */
export interface WaitingEvent {
  /** Of the delivery. */
  readonly id: string
  readonly eventId: string
  readonly subscription: string
  readonly topic: string
  readonly key: string | undefined
  /** As it was published. */
  readonly data: unknown
  readonly state: WaitingEventState
  /** Attempts so far. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly dueAt: Date
  /** Of the attempts so far, at most the last 25. */
  readonly errors: readonly DeliveryError[]
  readonly traceId: string | undefined
  readonly publishedAt: Date
}

export interface WaitingEventFilter {
  readonly subscription?: string | undefined
  readonly ids?: readonly string[] | undefined
  readonly state?: WaitingEventState | undefined
  /** Only those behind this id: the last one of the page before. */
  readonly after?: string | undefined
  /** 1 to 10,000. @default 100 */
  readonly limit?: number | undefined
}

export interface RetryEventsFilter {
  readonly subscription?: string | undefined
  readonly ids?: readonly string[] | undefined
  /** 1 to 10,000. @default 10000 */
  readonly limit?: number | undefined
}

/** An event that a shard stands in front of: `onFail: 'stop'`, and relays whose broker is away. It is tried until it succeeds. */
export interface StandingEvent {
  readonly subscription: string
  readonly shard: number
  readonly topic: string
  readonly eventId: string
  readonly key: string | undefined
  readonly attempt: number
  readonly error: string
  readonly since: Date
  /** Which one it is that stands: name, host and process id. */
  readonly process: string
}

export interface WaitingEvents {
  /** The oldest first. */
  list(filter?: WaitingEventFilter): AsyncResult<readonly WaitingEvent[]>
  get(id: string): AsyncResult<WaitingEvent | undefined>
  /**
   * Makes those due that wait for their time; how many. It is the attempt that they waited for, and no additional one.
   * By subscription or ids: without any SLUICE_INVALID_ARGUMENT.
   */
  retry(filter: RetryEventsFilter): AsyncResult<number>
  /** What shards of live processes stand in front of, a second after they tell of it at the latest; 50 of a process. */
  standing(subscription?: string): AsyncResult<readonly StandingEvent[]>
}

export interface ReplayOptions {
  /** A time, the id of an event, or `'beginning'` for the oldest that is kept. */
  readonly from: Date | string
  /** Events a second. @default 1000 */
  readonly rate?: number | undefined
  /** Who asks, for the record. */
  readonly by?: string | undefined
}

export interface ReplayInfo {
  readonly id: string
  readonly subscription: string
  readonly state: 'running' | 'done' | 'cancelled'
  readonly from: string
  readonly rate: number
  readonly by: string | undefined
  /** Events delivered so far. */
  readonly delivered: number
  readonly startedAt: Date
  readonly finishedAt: Date | undefined
}

export interface RemovedSubscription {
  /** Deliveries that waited for another attempt. */
  readonly retrying: number
  /** Dead letters. */
  readonly dead: number
}

export interface OnceOptions {
  /** How long the id is remembered; longer than any broker delivers it again. @default '7d' */
  readonly keep?: Duration | undefined
}

export interface Events extends ComponentBase {
  /** Resolves when the event is stored (with `tx`: when it is part of the transaction). SLUICE_INVALID_DATA, SLUICE_TOO_LARGE. */
  publish<Input, Output>(
    event: EventType<Input, Output>,
    data: Input,
    options?: PublishOptions,
  ): AsyncResult<PublishedEvent>
  /** At most 100,000 at once, all of them or none; in the order of the items. */
  publishMany<Input, Output>(
    event: EventType<Input, Output>,
    items: readonly EventInput<Input>[],
    options?: Pick<PublishOptions, 'tx' | 'signal'>,
  ): AsyncResult<readonly PublishedEvent[]>
  /**
   * Reads a topic, several, or all that match a pattern (`*` stands for one word, `#` for any number of them), once the
   * component is ready. `name` says whose place in the log it is: processes that use the same share the work.
   */
  subscribe<Input, Output>(
    event: EventType<Input, Output> | readonly EventType<Input, Output>[],
    name: string,
    handler: EventBatchHandler<Output>,
    options: BatchSubscribeOptions,
  ): Subscription
  subscribe(
    pattern: string,
    name: string,
    handler: EventBatchHandler<unknown>,
    options: BatchSubscribeOptions,
  ): Subscription
  subscribe<Input, Output>(
    event: EventType<Input, Output> | readonly EventType<Input, Output>[],
    name: string,
    handler: EventHandler<Output>,
    options?: SubscribeOptions,
  ): Subscription
  subscribe(
    pattern: string,
    name: string,
    handler: EventHandler<unknown>,
    options?: SubscribeOptions,
  ): Subscription
  /**
   * True for the first time that `reader` sees the event, and false ever after: for readers that get it through a
   * broker. Commits with the effect of the handler.
   */
  once(tx: Transaction, reader: string, eventId: string, options?: OnceOptions): AsyncResult<boolean>
  /**
   * Hands events of the past to the handler of the subscription again, beside what is live, with their own ids. Resolves
   * when it is recorded; it goes on in whichever process has the subscription.
   */
  replay(subscription: string, options: ReplayOptions): AsyncResult<ReplayInfo>
  replays(subscription?: string): AsyncResult<readonly ReplayInfo[]>
  /** False where it was over. */
  cancelReplay(id: string): AsyncResult<boolean>
  /** No process delivers to it any more; what runs goes on. */
  pause(subscription: string, reason?: string): AsyncResult<void>
  resume(subscription: string): AsyncResult<void>
  /**
   * Takes a subscription out of the database that no process has any more: its place in the log, its retries, dead letters
   * and replays. SLUICE_CONFLICT while a live process has it.
   */
  remove(subscription: string): AsyncResult<RemovedSubscription>
  lag(): AsyncResult<readonly SubscriptionLag[]>
  topics(): AsyncResult<readonly TopicInfo[]>
  /** Deliveries that failed and are tried again. */
  readonly waiting: WaitingEvents
  readonly deadLetters: DeadEvents
}
