/**
 * Tells workers that there is something to do: those of this process by a direct call, those of others by a
 * notification. Only a hint: whoever works also polls, slowly, so that a hint that is lost costs time and nothing else.
 *
 * Never called before the work is committed: in a transaction of the user's it is left to `afterCommit`, because a
 * NOTIFY inside of it would hold a lock of the whole database until the commit. The first hint leaves at once; those
 * that follow within ten milliseconds leave together, once.
 */
import { randomUUID } from 'node:crypto'
import type { Listening } from '../components/postgres/api.ts'
import type { Clock, Timer } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import type { EngineDatabase } from './database.ts'

export const CHANNEL = 'sluice'

/** What there may be something to do for: `q12` is queue 12, `log` is the log of events. */
export type Topic = string

/** Between two notifications of this process. */
const GAP_MS = 10
/** Topics of one notification, whose payload has less than 8,000 bytes; more become `*`, which is all. */
const MAX_TOPICS = 400
const ALL = '*'

export class Wake {
  readonly #db: EngineDatabase
  readonly #clock: Clock
  readonly #log: Logger
  /** This process: its own notifications come back to it, and are not news. */
  readonly #self = randomUUID().slice(0, 8)
  readonly #handlers = new Map<Topic, Set<() => void>>()
  readonly #pending = new Set<Topic>()
  #timer: Timer | undefined
  #lastSentAt = -Infinity
  #sending: Promise<void> | undefined
  #listening: Listening | undefined
  #notifies = false

  constructor(db: EngineDatabase, clock: Clock, log: Logger) {
    this.#db = db
    this.#clock = clock
    this.#log = log
  }

  /** Listens to other processes. `notify: false` neither sends nor hears: workers then poll. */
  async open({ notify }: { readonly notify: boolean }): Promise<void> {
    this.#notifies = notify
    if (!notify || this.#listening !== undefined) return
    this.#listening = await this.#db.listen(CHANNEL, ({ payload, gap }) => {
      if (gap) this.#callAll()
      else this.#hear(payload)
    })
  }

  /** Sends what waits, then listens no more. */
  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#pending.size > 0) this.#send()
    await this.#sending
    this.#notifies = false
    const listening = this.#listening
    this.#listening = undefined
    await listening?.close()
  }

  /** Calls `handler` when there may be something to do. The answer ends that. */
  on(topic: Topic, handler: () => void): () => void {
    let handlers = this.#handlers.get(topic)
    if (handlers === undefined) this.#handlers.set(topic, (handlers = new Set()))
    handlers.add(handler)
    return () => {
      handlers.delete(handler)
      if (handlers.size === 0 && this.#handlers.get(topic) === handlers) this.#handlers.delete(topic)
    }
  }

  /** There is something to do, and it is committed. */
  signal(topic: Topic): void {
    this.#call(topic)
    if (!this.#notifies) return
    this.#pending.add(topic)
    if (this.#timer !== undefined) return
    const wait = this.#lastSentAt + GAP_MS - this.#clock.monotonic()
    this.#timer = this.#clock.setTimer(() => this.#send(), Math.max(0, wait))
  }

  #send(): void {
    this.#timer = undefined
    const topics = this.#pending.size > MAX_TOPICS ? ALL : [...this.#pending].join(',')
    this.#pending.clear()
    this.#lastSentAt = this.#clock.monotonic()
    this.#sending = this.#db.notify(CHANNEL, `${this.#self} ${topics}`, { label: 'sluice.notify' }).then(
      () => undefined,
      // Whoever works polls as well: this costs the others some time.
      (error: unknown) => this.#log.debug({ err: toError(error) }, 'a notification could not be sent'),
    )
  }

  #hear(payload: string): void {
    const [from = '', topics = ''] = payload.split(' ', 2)
    if (from === this.#self) return
    if (topics === ALL) this.#callAll()
    else for (const topic of topics.split(',')) this.#call(topic)
  }

  #call(topic: Topic): void {
    for (const handler of this.#handlers.get(topic) ?? []) handler()
  }

  #callAll(): void {
    for (const topic of this.#handlers.keys()) this.#call(topic)
  }
}
