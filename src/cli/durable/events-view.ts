/** `sluice events lag|topics|dead|show|replays|transports`: looks, and changes nothing. */
import type { DeadEvent, ReplayInfo, SubscriptionLag, TopicInfo } from '../../events/api.ts'
import type { Feature, Transport } from '../../events/features.ts'
import type { Invocation, Terminal } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import type { RunnableAction } from './action.ts'
import { printDeadLetter } from './dead-letters.ts'
import { openEvents, type OpenEvents } from './open-events.ts'
import { BEFORE, idsOf, LIMIT, limitOf, SUBSCRIPTION, timeOf } from './options.ts'
import { moment, printJson, printTable, span } from './text.ts'

export const EVENT_VIEWS: readonly RunnableAction[] = [
  {
    name: 'lag',
    parameters: '',
    summary: 'each subscription: how far it is behind, and what it could not deliver',
    words: [0, 0],
    options: [],
    run: lag,
  },
  {
    name: 'topics',
    parameters: '',
    summary: 'topics, and when something was published last',
    words: [0, 0],
    options: [],
    run: topics,
  },
  {
    name: 'dead',
    parameters: '',
    summary: 'deliveries that used up their attempts, the youngest first; 50 of them',
    words: [0, 0],
    options: [SUBSCRIPTION, BEFORE, LIMIT],
    run: dead,
  },
  {
    name: 'show',
    parameters: '<id>',
    summary: 'one dead letter, or delivery that waits, with its data and the error of each attempt',
    words: [1, 1],
    options: [],
    run: show,
  },
  {
    name: 'replays',
    parameters: '[<subscription>]',
    summary: 'replays and how far they are',
    words: [0, 1],
    options: [],
    run: replays,
  },
  {
    name: 'transports',
    parameters: '',
    summary: 'what events can do on each way of transport; asks no database',
    words: [0, 0],
    options: [],
    run: transports,
  },
]

async function transports(invocation: Invocation, terminal: Terminal): Promise<number> {
  const { FEATURES, TRANSPORTS } = await import('../../events/features.ts')
  const names = Object.keys(TRANSPORTS) as Transport[]
  const rows = Object.entries(FEATURES).map(([feature, text]) => [
    text.replaceAll('`', ''),
    ...names.map((name) => (TRANSPORTS[name][feature as Feature] ? 'yes' : 'no')),
  ])
  if (invocation.json) printJson({ features: FEATURES, transports: TRANSPORTS }, terminal)
  else printTable(['', ...names], rows, '', terminal)
  return EXIT.ok
}

async function lag(invocation: Invocation, terminal: Terminal): Promise<number> {
  await using open = await openEvents(invocation, terminal)
  const subscriptions = await open.events.lag()
  if (invocation.json) printJson({ subscriptions }, terminal)
  else printTable(LAG_HEAD, subscriptions.map(lagRow), 'No subscription yet.', terminal)
  return EXIT.ok
}

const LAG_HEAD = [
  'subscription',
  'behind',
  'oldest',
  'retrying',
  'parked',
  'dead',
  'missed',
  'paused',
  'processes',
  'topics',
]

function lagRow(each: SubscriptionLag): readonly string[] {
  const counts = [each.retrying, each.parkedKeys, each.dead, each.missed].map(String)
  const paused = each.paused ? (each.pausedWhy ?? 'yes') : '-'
  const oldest = each.events === 0 ? '-' : span(each.oldestMs)
  return [
    each.name,
    String(each.events),
    oldest,
    ...counts,
    paused,
    String(each.processes),
    each.patterns.join(' '),
  ]
}

async function topics(invocation: Invocation, terminal: Terminal): Promise<number> {
  await using open = await openEvents(invocation, terminal)
  const all = await open.events.topics()
  const row = ({ name, createdAt, lastAt }: TopicInfo): readonly string[] => [
    name,
    moment(lastAt, open.now),
    moment(createdAt, open.now),
  ]
  if (invocation.json) printJson({ topics: all }, terminal)
  else printTable(['topic', 'last event', 'made'], all.map(row), 'No topic yet.', terminal)
  return EXIT.ok
}

async function dead(invocation: Invocation, terminal: Terminal): Promise<number> {
  const limit = limitOf(invocation, 50)
  await using open = await openEvents(invocation, terminal)
  const { subscription, before: text } = invocation.values
  const before = text === undefined ? undefined : timeOf(text, 'before', open.now)
  const letters = await open.events.listDead({ subscription, before, limit })
  const row = (each: DeadEvent): readonly string[] => [
    each.id,
    each.subscription,
    each.topic,
    each.eventId,
    each.key ?? '-',
    moment(each.diedAt, open.now),
    String(each.attempt),
    each.why,
  ]
  if (invocation.json) printJson({ deadLetters: letters }, terminal)
  else printTable(DEAD_HEAD, letters.map(row), 'No dead letters.', terminal)
  return EXIT.ok
}

const DEAD_HEAD = ['id', 'subscription', 'topic', 'event', 'key', 'died', 'attempts', 'why']

async function show(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [id = ''] = idsOf(invocation)
  await using open = await openEvents(invocation, terminal)
  const [letter] = await open.events.listDead({ ids: [id] })
  if (letter === undefined) return await showWaiting(id, open, invocation, terminal)
  const facts = [
    ['subscription', letter.subscription],
    ['topic', letter.topic],
    ['event', letter.eventId],
    ['key', letter.key],
    ['published', moment(letter.publishedAt, open.now)],
  ] as const
  if (invocation.json) printJson({ deadLetter: letter }, terminal)
  else printDeadLetter(letter, facts, open.now, terminal)
  return EXIT.ok
}

async function showWaiting(
  id: string,
  { engine, now }: OpenEvents,
  invocation: Invocation,
  terminal: Terminal,
): Promise<number> {
  const [{ waitingEvents }, { printWaiting }] = await Promise.all([
    import('../../events/waiting.ts'),
    import('./events-waiting.ts'),
  ])
  const [waiting] = await waitingEvents(engine, { ids: [id] })
  if (waiting === undefined) {
    terminal.err(
      `sluice: there is no dead letter and no delivery ${id}: it was delivered, put back or dropped, or it never was`,
    )
    return EXIT.failure
  }
  if (invocation.json) printJson({ waiting }, terminal)
  else printWaiting(waiting, now, terminal)
  return EXIT.ok
}

async function replays(invocation: Invocation, terminal: Terminal): Promise<number> {
  await using open = await openEvents(invocation, terminal)
  const all = await open.events.replays(invocation.words[0])
  const row = (each: ReplayInfo): readonly string[] => [
    each.id,
    each.subscription,
    each.state,
    String(each.delivered),
    String(each.rate),
    moment(each.startedAt, open.now),
    moment(each.finishedAt, open.now),
    each.from,
    each.by ?? '-',
  ]
  if (invocation.json) printJson({ replays: all }, terminal)
  else printTable(REPLAY_HEAD, all.map(row), 'No replay.', terminal)
  return EXIT.ok
}

const REPLAY_HEAD = ['id', 'subscription', 'state', 'delivered', 'rate', 'started', 'finished', 'from', 'by']
