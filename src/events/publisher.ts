/**
 * Publishing: in the caller's transaction, or gathered with what others publish at the same time into one statement.
 * Readers are told after the commit, never before.
 */
import { SluiceError } from '../core/errors.ts'
import type { Transaction } from '../components/postgres/api.ts'
import type { Engine } from '../engine/engine.ts'
import { MAX_AT_ONCE, publishEvents, type NewEvent } from '../engine/log/publish.ts'
import { LOG } from '../engine/log/reader.ts'
import type { Topics } from '../engine/log/topics.ts'
import { moment } from '../engine/moments.ts'
import { enqueueTasks } from '../engine/tasks/enqueue.ts'
import type { NewTask } from '../engine/tasks/task.ts'
import type { Queryable } from '../engine/database.ts'
import { Batcher } from '../pool/batcher.ts'
import type { PublishedEvent } from './api.ts'
import type { EncodedEvent } from './encode.ts'
import { LATER_QUEUE, type LaterHead } from './later.ts'

/** Only a process that dies while it publishes uses one up; the most that the column holds, nearly. */
const LATER_ATTEMPTS = 30_000

export class Publisher {
  readonly #engine: Engine
  readonly #topics: Topics
  readonly #batcher: Batcher<EncodedEvent, PublishedEvent>

  constructor(engine: Engine, topics: Topics) {
    this.#engine = engine
    this.#topics = topics
    this.#batcher = new Batcher<EncodedEvent, PublishedEvent>({
      name: 'events.publish',
      write: (events) => this.#store(engine.db, events),
      maxItems: 1_000,
      maxBytes: 4_194_304,
      sizeOf: ({ body }) => body.length,
      maxDelay: 2,
      maxInFlight: 2,
      maxWaiting: 100_000,
      clock: engine.clock,
    })
  }

  publish(
    event: EncodedEvent,
    tx: Transaction | undefined,
    signal: AbortSignal,
  ): PromiseLike<PublishedEvent> {
    if (tx === undefined && event.later === undefined) return this.#batcher.add(event, { signal })
    return this.publishMany([event], tx).then(([first]) => first!)
  }

  async publishMany(
    events: readonly EncodedEvent[],
    tx: Transaction | undefined,
  ): Promise<readonly PublishedEvent[]> {
    if (events.length === 0) return []
    if (tx !== undefined) return this.#store(tx, events, tx)
    if (events.length <= MAX_AT_ONCE && new Set(events.map(({ later }) => later === undefined)).size === 1) {
      return this.#store(this.#engine.db, events)
    }
    return this.#engine.db.transaction((own) => this.#store(own, events, own), { label: 'sluice.publish' })
  }

  /** Writes what was gathered; no more is taken. */
  close(): Promise<void> {
    return this.#batcher.close({ timeout: '5s' })
  }

  /** Stores them and tells readers, after the commit of `tx` where there is one. */
  async #store(
    db: Queryable,
    events: readonly EncodedEvent[],
    tx?: Transaction,
  ): Promise<readonly PublishedEvent[]> {
    const now: NewEvent[] = []
    const later: NewTask[] = []
    for (const event of events) {
      if (event.later === undefined) now.push(await this.#row(event))
      else later.push(await this.#task(event, event.later))
    }
    moment('events.publish', events.length)
    const ids = now.length === 0 ? [] : await publishEvents(db, now)
    const tasks = later.length === 0 ? [] : await enqueueTasks(db, later)
    const tell = (): void => {
      moment('events.published', events.length)
      if (now.length > 0) this.#engine.wake.signal(LOG)
      if (later[0] !== undefined) this.#engine.wake.signal(`q${later[0].queue}`)
    }
    if (tx === undefined) tell()
    else tx.afterCommit(tell)
    let atNow = 0
    let atLater = 0
    return events.map((event) => {
      const id = event.later === undefined ? ids[atNow++] : tasks[atLater++]?.id
      if (id === undefined) throw new SluiceError('SLUICE_INTERNAL', 'an event was stored without an id')
      return { id, scheduled: event.later !== undefined }
    })
  }

  async #row({ topic, version, key, head, body }: EncodedEvent): Promise<NewEvent> {
    const id = this.#topics.known(topic) ?? (await this.#topics.id(topic))
    return { topic: id, version, key, head, body }
  }

  async #task(
    event: EncodedEvent,
    { delayMs, priority }: NonNullable<EncodedEvent['later']>,
  ): Promise<NewTask> {
    const { topic, version, key, head, body } = event
    // The topic's row is there before the event, as always.
    await this.#topics.id(topic)
    return {
      queue: await this.#engine.queues.id(LATER_QUEUE),
      prio: priority,
      shard: 0,
      delay: delayMs,
      max_attempt: LATER_ATTEMPTS,
      name: topic,
      body,
      head: JSON.stringify({ version, key, head } satisfies LaterHead),
    }
  }
}
