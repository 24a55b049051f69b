/** `sluice events waiting|retry`: what a subscription is stuck on, and another attempt at once. */
import type { RetryEventsFilter, StandingEvent, WaitingEvent, WaitingEventState } from '../../events/api.ts'
import type { Invocation, Option, Terminal } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { Misunderstood } from '../misunderstood.ts'
import type { RunnableAction } from './action.ts'
import { ALL, printBody, printErrors } from './dead-letters.ts'
import { openEvents } from './open-events.ts'
import { idsOf, LIMIT, limitOf, SUBSCRIPTION } from './options.ts'
import { moment, plural, printFacts, printJson, printTable } from './text.ts'

const STATES = ['waiting', 'due', 'running', 'behind']
const STATE: Option = { name: 'state', value: 'state', doc: `one of ${STATES.join(', ')}` }
const AFTER: Option = { name: 'after', value: 'id', doc: 'only those behind this one: the next page' }

export const EVENT_WAITING: readonly RunnableAction[] = [
  {
    name: 'waiting',
    parameters: '',
    summary: 'deliveries that failed and are tried again, or wait behind one; the oldest first, 50 of them',
    words: [0, 0],
    options: [SUBSCRIPTION, STATE, AFTER, LIMIT],
    run: waiting,
  },
  {
    name: 'retry',
    parameters: '[<id>…]',
    summary: 'tries these now, or all of a subscription, in place of at their time',
    words: [0, ALL],
    options: [SUBSCRIPTION, LIMIT],
    run: retry,
  },
]

async function waiting(invocation: Invocation, terminal: Terminal): Promise<number> {
  const { subscription, state, after } = invocation.values
  if (state !== undefined && !STATES.includes(state)) {
    throw new Misunderstood(`--state: expected one of ${STATES.join(', ')}, got ${JSON.stringify(state)}`)
  }
  if (after !== undefined) idsOf({ ...invocation, words: [after] })
  const limit = limitOf(invocation, 50)
  await using open = await openEvents(invocation, terminal)
  const { standingEvents, waitingEvents } = await import('../../events/waiting.ts')
  const filter = { subscription, state: state as WaitingEventState | undefined, after, limit }
  const [deliveries, standing] = await Promise.all([
    waitingEvents(open.engine, filter),
    standingEvents(open.engine, subscription),
  ])
  if (invocation.json) {
    printJson({ waiting: deliveries, standing }, terminal)
    return EXIT.ok
  }
  const none = standing.length > 0 ? 'No delivery waits in the tables.' : 'No delivery waits.'
  printTable(WAITING_HEAD, deliveries.map(waitingRow(open.now)), none, terminal)
  if (standing.length > 0) {
    terminal.out('\nStanding in front of an event, which is tried until it succeeds:')
    printTable(STANDING_HEAD, standing.map(standingRow(open.now)), '', terminal)
  }
  return EXIT.ok
}

const WAITING_HEAD = ['id', 'subscription', 'topic', 'event', 'key', 'state', 'attempts', 'due', 'last error']

const waitingRow =
  (now: Date) =>
  (each: WaitingEvent): readonly string[] => [
    each.id,
    each.subscription,
    each.topic,
    each.eventId,
    each.key ?? '-',
    each.state,
    `${each.attempt}/${each.maxAttempts}`,
    each.state === 'behind' ? '-' : moment(each.dueAt, now),
    each.errors.at(-1)?.error ?? '-',
  ]

const STANDING_HEAD = [
  'subscription',
  'shard',
  'topic',
  'event',
  'key',
  'attempts',
  'since',
  'process',
  'error',
]

const standingRow =
  (now: Date) =>
  (each: StandingEvent): readonly string[] => [
    each.subscription,
    String(each.shard),
    each.topic,
    each.eventId,
    each.key ?? '-',
    String(each.attempt),
    moment(each.since, now),
    each.process,
    each.error,
  ]

export function printWaiting(each: WaitingEvent, now: Date, terminal: Terminal): void {
  printFacts(
    [
      ['id', each.id],
      ['state', each.state],
      ['subscription', each.subscription],
      ['topic', each.topic],
      ['event', each.eventId],
      ['key', each.key],
      ['published', moment(each.publishedAt, now)],
      ['due', each.state === 'behind' ? undefined : moment(each.dueAt, now)],
      ['attempts', `${each.attempt} of ${each.maxAttempts}`],
      ['trace', each.traceId],
    ],
    terminal,
  )
  printErrors(each.errors, now, terminal)
  printBody(each.data, terminal)
}

async function retry(invocation: Invocation, terminal: Terminal): Promise<number> {
  const ids = idsOf(invocation)
  const { subscription } = invocation.values
  if (ids.length === 0 && subscription === undefined) {
    throw new Misunderstood('`sluice events retry` needs ids, or --subscription')
  }
  const filter: RetryEventsFilter = {
    subscription,
    ids: ids.length === 0 ? undefined : ids,
    limit: limitOf(invocation, ALL),
  }
  await using open = await openEvents(invocation, terminal, { tells: true })
  const { retryEvents } = await import('../../events/waiting.ts')
  const retried = await retryEvents(open.engine, filter)
  if (invocation.json) printJson({ asked: ids.length === 0 ? undefined : ids.length, retried }, terminal)
  else terminal.out(retried === 1 ? '1 delivery is due now' : `${retried} deliveries are due now`)
  if (retried >= ids.length) return EXIT.ok
  const left = plural(ids.length - retried, 'id')
  terminal.err(`sluice: ${left} left as they were: due already, behind another of the key, or not there`)
  return EXIT.failure
}
