/**
 * What waits for the subscriptions of the database, for metrics and for those who look: also for those that no process
 * has any more. Of these nothing fails, so that nobody would hear of it: it is told in the log once, and shown until
 * somebody reads it, or it is removed.
 */
import type { Inspection } from '../app/component.ts'
import type { Engine } from '../engine/engine.ts'
import type { Logger } from '../telemetry/log.ts'
import type { GaugeCell } from '../telemetry/metric.ts'
import type { SubscriptionLag } from './api.ts'
import { ASKED, type Queries } from './queries.ts'
import { Rounds } from './rounds.ts'

/** Between two counts. */
const EVERY_MS = 15_000
/** Of the oldest event that waits: a process may be about to start. */
const GRACE_MS = 30_000

const GAUGES = {
  events: ['sluice_events_lag', 'Events that a subscription has not read.'],
  oldest: ['sluice_events_oldest_seconds', 'Age of the oldest event that a subscription has not read.'],
  retrying: ['sluice_events_retrying', 'Deliveries that wait for an attempt.'],
  parkedKeys: ['sluice_events_parked_keys', 'Keys behind an event that failed.'],
  dead: ['sluice_events_dead', 'Dead letters of a subscription.'],
} as const

export class Figures {
  readonly #engine: Engine
  readonly #component: string
  readonly #log: Logger
  readonly #queries: Queries
  readonly #rounds: Rounds
  #lags: readonly SubscriptionLag[] = []
  #unread: readonly SubscriptionLag[] = []

  constructor(engine: Engine, component: string, log: Logger, queries: Queries) {
    this.#engine = engine
    this.#component = component
    this.#log = log
    this.#queries = queries
    this.#rounds = new Rounds(engine, log, 'the figures of subscriptions', EVERY_MS, () => this.#count())
  }

  start(): void {
    // Not while all processes start.
    this.#rounds.start({ hint: ASKED, delayMs: EVERY_MS * this.#engine.random() })
  }

  stop(): Promise<void> {
    return this.#rounds.stop()
  }

  /** Of one subscription, as it was counted last. */
  of(subscription: string): Inspection {
    const lag = this.#lags.find(({ name }) => name === subscription)
    if (lag === undefined) return {}
    const { events, oldestMs, parkedKeys, dead, missed } = lag
    return { lag: events, oldestMs: Math.round(oldestMs), parkedKeys, dead, missed }
  }

  /** Subscriptions that events wait for and that no live process has. */
  get unread(): Inspection {
    return Object.fromEntries(
      this.#unread.map(({ name, events, oldestMs }) => [
        name,
        { lag: events, oldestMs: Math.round(oldestMs) },
      ]),
    )
  }

  async #count(): Promise<undefined> {
    const lags = await this.#queries.lag()
    for (const lag of lags) this.#show(lag)
    // Removed meanwhile.
    const there = new Set(lags.map(({ name }) => name))
    for (const { name } of this.#lags) if (!there.has(name)) this.#show({ ...NOTHING, name })
    this.#lags = lags
    this.#tell(lags.filter(isUnread))
  }

  #show({ name, events, oldestMs, retrying, parkedKeys, dead }: Shown): void {
    const figures = { events, oldest: oldestMs / 1_000, retrying, parkedKeys, dead }
    for (const [figure, value] of Object.entries(figures)) this.#gauge(figure, name).set(value)
  }

  #gauge(figure: string, subscription: string): GaugeCell {
    const [name, help] = GAUGES[figure as keyof typeof GAUGES]
    return this.#engine.metrics.gauge(name, help).with({ component: this.#component, subscription })
  }

  #tell(unread: readonly SubscriptionLag[]): void {
    const known = new Set(this.#unread.map(({ name }) => name))
    for (const { name, events, retrying, oldestMs, patterns } of unread) {
      if (known.has(name)) continue
      this.#log.warn(
        { subscription: name, events, retrying, oldestMs: Math.round(oldestMs), patterns },
        `events wait for the subscription "${name}", and no process has it`,
      )
    }
    this.#unread = unread
    this.#engine.metrics
      .gauge('sluice_events_unread', 'Subscriptions that events wait for and that no process has.')
      .with({ component: this.#component })
      .set(unread.length)
  }
}

type Shown = Pick<SubscriptionLag, 'name' | 'events' | 'oldestMs' | 'retrying' | 'parkedKeys' | 'dead'>

const NOTHING = { events: 0, oldestMs: 0, retrying: 0, parkedKeys: 0, dead: 0 } as const

/** A paused one is not read because somebody wants it so. */
function isUnread({ processes, paused, events, oldestMs, retrying }: SubscriptionLag): boolean {
  return processes === 0 && !paused && ((events > 0 && oldestMs > GRACE_MS) || retrying > 0)
}
