/** What people ask of events and tell them: lag, topics, pause, replays, dead letters, the inbox. */
import { checkOptionNames } from '../config/known-options.ts'
import { durationMs } from '../core/duration.ts'
import { invalidArgument, SluiceError } from '../core/errors.ts'
import type { Transaction } from '../components/postgres/api.ts'
import type { Engine } from '../engine/engine.ts'
import * as dead from '../engine/log/dead.ts'
import {
  eventsBehind,
  pauseSubscription,
  resumeSubscription,
  subscriptionFacts,
  topicFacts,
} from '../engine/log/inspect.ts'
import { cancelReplay, listReplays, startReplay, type ReplayRow } from '../engine/log/replays.ts'
import { removeSubscription } from '../engine/log/remove.ts'
import { tickOfNow } from '../engine/log/subscriptions.ts'
import { redriveByCanaries, type PutBack } from '../engine/tasks/canaries.ts'
import type { Logger } from '../telemetry/log.ts'
import type {
  DeadEvent,
  DeadEventFilter,
  OnceOptions,
  RedriveEventsOptions,
  RedrivenEvents,
  RemovedSubscription,
  ReplayInfo,
  ReplayOptions,
  SubscriptionLag,
  TopicInfo,
} from './api.ts'
import { checkSubscriptionName } from './event.ts'
import { topicMatcher } from './pattern.ts'
import { spilledEvent } from './spilled.ts'

/** Topic of the hints that something is asked of subscriptions. */
export const ASKED = 'events'
const MAX_LISTED = 10_000
const MAX_RATE = 1_000_000
const DEFAULT_CANARY = 20
const FILTER = ['subscription', 'ids', 'before', 'limit'] as const

export class Queries {
  readonly #engine: Engine
  readonly #log: Logger

  constructor(engine: Engine, log: Logger) {
    this.#engine = engine
    this.#log = log
  }

  async lag(): Promise<readonly SubscriptionLag[]> {
    const { db } = this.#engine
    const [subscriptions, topics] = await Promise.all([subscriptionFacts(db), topicFacts(db)])
    const lags: SubscriptionLag[] = []
    for (const each of subscriptions) {
      const matches = topicMatcher(each.patterns)
      const own = topics.filter(({ name }) => matches(name)).map(({ id }) => id)
      const behind = await eventsBehind(db, each.id, own)
      lags.push({
        name: each.name,
        patterns: each.patterns,
        ...behind,
        retrying: each.retrying,
        parkedKeys: each.parkedKeys,
        dead: each.dead,
        missed: Number(each.missed),
        paused: each.paused,
        pausedWhy: each.why ?? undefined,
        idleMs: each.idleMs,
        processes: each.processes,
      })
    }
    return lags
  }

  async topics(): Promise<readonly TopicInfo[]> {
    const topics = await topicFacts(this.#engine.db)
    return topics.map(({ id, name, made, last }) => ({
      id,
      name,
      createdAt: new Date(made),
      lastAt: last === null ? undefined : new Date(last),
    }))
  }

  async pause(name: string, reason: string | undefined): Promise<void> {
    if (!(await pauseSubscription(this.#engine.db, name, reason ?? null))) throw unknown(name)
    this.#engine.wake.signal(ASKED)
  }

  async resume(name: string): Promise<void> {
    if (!(await resumeSubscription(this.#engine.db, name))) throw unknown(name)
    this.#engine.wake.signal(ASKED)
  }

  async remove(name: string, signal: AbortSignal): Promise<RemovedSubscription> {
    const removed = await removeSubscription(this.#engine.db, name, signal)
    if (removed === undefined) throw unknown(name)
    if ('processes' in removed) {
      throw new SluiceError(
        'SLUICE_CONFLICT',
        `subscription "${name}" is not removed: live processes that have it: ${removed.processes}`,
        { hint: 'Stop the programs that subscribe under that name first.' },
      )
    }
    this.#log.warn({ subscription: name, ...removed }, 'a subscription was removed')
    this.#engine.wake.signal(ASKED)
    return removed
  }

  async replay(subscription: string, options: ReplayOptions, signal: AbortSignal): Promise<ReplayInfo> {
    checkSubscriptionName(subscription)
    checkOptionNames('events.replay', options, ['from', 'rate', 'by'])
    const { from, rate = 1_000, by } = options
    const isTime = from instanceof Date && !Number.isNaN(from.getTime())
    if (!isTime && from !== 'beginning' && !(typeof from === 'string' && /^\d{1,18}$/.test(from))) {
      throw invalidArgument('replay: from', "a time, the id of an event, or 'beginning'", from)
    }
    if (!Number.isSafeInteger(rate) || rate < 1 || rate > MAX_RATE) {
      throw invalidArgument('replay: rate', `a whole number from 1 to ${MAX_RATE}`, rate)
    }
    const { db } = this.#engine
    const id = await startReplay(db, {
      subscription,
      origin: isTime ? from.toISOString() : String(from),
      minId: !isTime && from !== 'beginning' ? String(from) : null,
      minAt: isTime ? from : null,
      rate,
      by: by ?? null,
      upto: await tickOfNow(this.#engine, signal),
    })
    if (id === undefined) throw unknown(subscription)
    this.#log.info({ replay: id, subscription, rate, by }, 'a replay begins')
    this.#engine.wake.signal(ASKED)
    const [row] = await listReplays(db, { id })
    if (row === undefined) throw new SluiceError('SLUICE_INTERNAL', 'a replay is not there')
    return infoOf(row)
  }

  async replays(subscription: string | undefined): Promise<readonly ReplayInfo[]> {
    return (await listReplays(this.#engine.db, { subscription })).map(infoOf)
  }

  async cancelReplay(id: string): Promise<boolean> {
    if (!/^\d{1,9}$/.test(id)) throw invalidArgument('replay', 'the id of one', id)
    const cancelled = await cancelReplay(this.#engine.db, id)
    if (cancelled) this.#log.info({ replay: id }, 'a replay was cancelled')
    this.#engine.wake.signal(ASKED)
    return cancelled
  }

  async listDead(filter: DeadEventFilter): Promise<readonly DeadEvent[]> {
    checkOptionNames('deadLetters.list', filter, FILTER)
    return (await dead.listDead(this.#engine.db, filterOf(filter))).map(deadOf)
  }

  async redrive(options: RedriveEventsOptions, signal: AbortSignal): Promise<RedrivenEvents> {
    const { db, wake } = this.#engine
    checkOptionNames('deadLetters.redrive', options, [...FILTER, 'canary'])
    const filter = filterOf(options)
    const { canary = DEFAULT_CANARY } = options
    if (!Number.isSafeInteger(canary) || canary < 0) {
      throw invalidArgument('deadLetters.redrive: canary', 'a whole number of at least 0', canary)
    }
    const putBack = async (limit: number, without: readonly string[]): Promise<readonly PutBack[]> => {
      const tasks = await dead.redriveDead(db, { ...filter, limit }, without)
      for (const queue of new Set(tasks.map((task) => task.queue))) wake.signal(`q${queue}`)
      return tasks
    }
    return redriveByCanaries(this.#engine, { limit: filter.limit, canary, putBack }, signal)
  }

  async dropDead(filter: DeadEventFilter): Promise<number> {
    checkOptionNames('deadLetters.drop', filter, FILTER)
    const { subscription, ids, before } = filter
    if (subscription === undefined && ids === undefined && before === undefined) {
      throw new SluiceError(
        'SLUICE_INVALID_ARGUMENT',
        'deadLetters.drop: expected subscription, ids or before, got none',
        { hint: 'What is dropped is gone. To drop all there are, pass { before: new Date() }.' },
      )
    }
    return dead.dropDead(this.#engine.db, filterOf(filter))
  }

  async once(tx: Transaction, reader: string, eventId: string, options: OnceOptions): Promise<boolean> {
    checkSubscriptionName(reader)
    checkOptionNames('events.once', options, ['keep'])
    if (typeof eventId !== 'string' || eventId === '' || eventId.length > 200) {
      throw invalidArgument('once: eventId', 'text of 1 to 200 characters', eventId)
    }
    const keepMs = durationMs(options.keep ?? '7d', 'once: keep')
    const queue = await this.#engine.queues.id(`events/once/${reader}`)
    // A second one waits here until the first has committed, and then finds its row.
    const row = await tx.queryOne(ONCE, [queue, eventId, keepMs], { idempotent: false })
    return row !== undefined
  }
}

/** in: $1 reader, $2 event, $3 ms · out: one row where it was not there, or too long ago */
const ONCE = `
insert into sluice.once (queue, uniq, until) values ($1, $2, clock_timestamp() + $3 * interval '1 ms')
on conflict (queue, uniq) do update set until = excluded.until where sluice.once.until < clock_timestamp()
returning 1 as first`

function unknown(subscription: string): SluiceError {
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `no subscription is called "${subscription}"`, {
    hint: 'It is made when a process subscribes under that name for the first time.',
  })
}

function infoOf(row: ReplayRow): ReplayInfo {
  return {
    id: String(row.id),
    subscription: row.subscription,
    state: row.finished === null ? 'running' : row.cancelled ? 'cancelled' : 'done',
    from: row.origin,
    rate: row.rate,
    by: row.by ?? undefined,
    delivered: Number(row.delivered),
    startedAt: new Date(row.made),
    finishedAt: row.finished === null ? undefined : new Date(row.finished),
  }
}

function filterOf({ subscription, ids, before, limit = 100 }: DeadEventFilter): dead.DeadFilter {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LISTED) {
    throw invalidArgument('deadLetters: limit', `a whole number from 1 to ${MAX_LISTED}`, limit)
  }
  return { subscription: subscription ?? null, ids: ids ?? null, before: before ?? null, limit }
}

function deadOf(row: dead.DeadDelivery): DeadEvent {
  return { ...spilledEvent(row), why: row.why, diedAt: new Date(row.died) }
}
