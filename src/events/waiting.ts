/** What subscriptions could not deliver and will try again: looked at, and hurried. */
import { checkOptionNames } from '../config/known-options.ts'
import { invalidArgument, SluiceError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import {
  hurryWaiting,
  listStands,
  listWaiting,
  type ToldStand,
  type WaitingTask,
} from '../engine/log/waiting.ts'
import type {
  RetryEventsFilter,
  StandingEvent,
  WaitingEvent,
  WaitingEventFilter,
  WaitingEventState,
} from './api.ts'
import { spilledEvent } from './spilled.ts'

const STATES: readonly WaitingEventState[] = ['waiting', 'due', 'running', 'behind']
const MAX_LISTED = 10_000

export async function waitingEvents(
  { db }: Engine,
  filter: WaitingEventFilter = {},
): Promise<readonly WaitingEvent[]> {
  checkOptionNames('waiting.list', filter, ['subscription', 'ids', 'state', 'after', 'limit'])
  const { subscription, ids, state, after, limit = 100 } = filter
  if (state !== undefined && !STATES.includes(state)) {
    throw invalidArgument('waiting: state', `one of ${STATES.join(', ')}`, state)
  }
  const rows = await listWaiting(db, {
    subscription: subscription ?? null,
    ids: ids?.map(checkId) ?? null,
    state: state ?? null,
    after: after === undefined ? null : checkId(after),
    limit: checkLimit(limit),
  })
  return rows.map(waitingOf)
}

/** How many are due by it that were not. */
export async function retryEvents({ db, wake }: Engine, filter: RetryEventsFilter): Promise<number> {
  checkOptionNames('waiting.retry', filter, ['subscription', 'ids', 'limit'])
  const { subscription, ids, limit = MAX_LISTED } = filter
  if (subscription === undefined && ids === undefined) {
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', 'waiting.retry: expected subscription or ids, got none')
  }
  const rows = await hurryWaiting(db, {
    subscription: subscription ?? null,
    ids: ids?.map(checkId) ?? null,
    limit: checkLimit(limit),
  })
  for (const queue of new Set(rows.map((row) => row.queue))) wake.signal(`q${queue}`)
  return rows.length
}

export async function standingEvents(
  { db }: Engine,
  subscription?: string,
): Promise<readonly StandingEvent[]> {
  return (await listStands(db, subscription ?? null)).map(standingOf)
}

function waitingOf(row: WaitingTask): WaitingEvent {
  const { state, maxAttempts, due } = row
  return { ...spilledEvent(row), state, maxAttempts, dueAt: new Date(due) }
}

function standingOf({ event, key, since, ...rest }: ToldStand): StandingEvent {
  return { ...rest, eventId: event, key: key ?? undefined, since: new Date(since) }
}

function checkId(id: unknown): string {
  if (typeof id === 'string' && /^\d{1,18}$/.test(id)) return id
  throw invalidArgument('waiting: id', 'a text of digits', id)
}

function checkLimit(limit: number): number {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_LISTED) return limit
  throw invalidArgument('waiting: limit', `a whole number from 1 to ${MAX_LISTED}`, limit)
}
