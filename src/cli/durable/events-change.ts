/** `sluice events redrive|drop|replay|cancel-replay|pause|resume|remove`. */
import { userInfo } from 'node:os'
import type { DeadEventFilter } from '../../events/api.ts'
import type { Invocation, Option, Terminal } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { Misunderstood } from '../misunderstood.ts'
import type { RunnableAction } from './action.ts'
import { ALL, CANARY, canariesLimit, needsYes, printRedriven } from './dead-letters.ts'
import { openEvents, type OpenEvents } from './open-events.ts'
import {
  BEFORE,
  DRY_RUN,
  idsOf,
  LIMIT,
  limitOf,
  nextCommand,
  SUBSCRIPTION,
  timeOf,
  wholeNumber,
  YES,
} from './options.ts'
import { plural, printJson } from './text.ts'

const FROM: Option = {
  name: 'from',
  value: 'where',
  doc: 'a time, how long ago (2h), the id of an event, or beginning',
}
const RATE: Option = { name: 'rate', value: 'number', doc: 'events a second; default 1000' }
const WHY: Option = { name: 'why', value: 'text', doc: 'the reason, shown by lag' }
const CHOICE = [SUBSCRIPTION, BEFORE, LIMIT, DRY_RUN, YES]

export const EVENT_CHANGES: readonly RunnableAction[] = [
  {
    name: 'redrive',
    parameters: '[<id>…]',
    summary: 'delivers dead letters again, a few first; the rest when those do not mostly fail again',
    words: [0, ALL],
    options: [...CHOICE, CANARY],
    run: (invocation, terminal) => change(invocation, terminal, 'redrive'),
  },
  {
    name: 'drop',
    parameters: '[<id>…]',
    summary: 'deletes dead letters',
    words: [0, ALL],
    options: CHOICE,
    run: (invocation, terminal) => change(invocation, terminal, 'drop'),
  },
  {
    name: 'replay',
    parameters: '<subscription>',
    summary: 'hands events of the past to a subscription again, beside what is live',
    words: [1, 1],
    options: [FROM, RATE],
    run: replay,
  },
  {
    name: 'cancel-replay',
    parameters: '<id>',
    summary: 'ends a replay',
    words: [1, 1],
    options: [],
    run: cancelReplay,
  },
  {
    name: 'pause',
    parameters: '<subscription>',
    summary: 'no process delivers to it any more; what runs goes on',
    words: [1, 1],
    options: [WHY],
    run: (invocation, terminal) => pauseOrResume(invocation, terminal, true),
  },
  {
    name: 'resume',
    parameters: '<subscription>',
    summary: 'ends a pause',
    words: [1, 1],
    options: [],
    run: (invocation, terminal) => pauseOrResume(invocation, terminal, false),
  },
  {
    name: 'remove',
    parameters: '<subscription>',
    summary:
      'takes a subscription that no process has out of the database, with its retries and dead letters',
    words: [1, 1],
    options: [YES],
    run: remove,
  },
]

async function remove(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [subscription = ''] = invocation.words
  if (!invocation.switches.has('yes')) {
    throw new Misunderstood(
      `this would remove ${subscription} with its place in the log, its retries and dead letters: confirm with --yes`,
    )
  }
  await using open = await openEvents(invocation, terminal, { tells: true })
  const removed = await open.events.remove(subscription, AbortSignal.timeout(60_000))
  if (invocation.json) printJson({ removed: subscription, ...removed }, terminal)
  else {
    const letters = plural(removed.dead, 'dead letter')
    const retries = plural(removed.retrying, 'retry', 'retries')
    terminal.out(`${subscription} is removed, with ${retries} and ${letters}`)
  }
  return EXIT.ok
}

async function change(invocation: Invocation, terminal: Terminal, what: 'redrive' | 'drop'): Promise<number> {
  const ids = idsOf(invocation)
  const canary = wholeNumber(invocation.values['canary'], 'canary', 0, ALL)
  await using open = await openEvents(invocation, terminal, { tells: what === 'redrive' })
  const { subscription, before } = invocation.values
  const filter = {
    subscription,
    ids: ids.length === 0 ? undefined : ids,
    before: before === undefined ? undefined : timeOf(before, 'before', open.now),
    limit: limitOf(invocation, ALL),
  }
  const doing = what === 'drop' ? 'delete' : 'deliver again'
  const matching = await count(open, filter)
  const hasFilter = subscription !== undefined || filter.ids !== undefined || before !== undefined
  needsYes(invocation, hasFilter, matching, doing, 'ids, --subscription or --before')
  if (invocation.switches.has('dry-run')) {
    if (invocation.json) printJson({ dryRun: true, matching }, terminal)
    else terminal.out(`this would ${doing} ${plural(matching, 'dead letter')}`)
    return EXIT.ok
  }
  let done: number
  if (what === 'redrive') {
    const answer = await open.events.redrive({ ...filter, canary }, canariesLimit(canary))
    const code = printRedriven(answer, 'dead letter', invocation, terminal)
    if (code !== EXIT.ok) return code
    done = answer.redriven
  } else {
    // With --yes, all there are.
    done = await open.events.dropDead(hasFilter ? filter : { ...filter, before: open.now })
    if (invocation.json) printJson({ dropped: done }, terminal)
    else terminal.out(`${plural(done, 'dead letter')} deleted`)
  }
  if (done >= ids.length) return EXIT.ok
  terminal.err(`sluice: ${plural(ids.length - done, 'id')} left as they were: no dead letter of an event`)
  return EXIT.failure
}

/** in: $1 subscription, $2 ids, $3 died before, $4 limit · out: how many dead letters that is */
const COUNT = `
select count(*)::int as count from (
  select from sluice.dead d join sluice.sub s on s.queue = d.queue
  where ($1::text is null or s.name = $1) and ($2::bigint[] is null or d.id = any($2))
    and ($3::timestamptz is null or d.died < $3) limit $4) x`

async function count({ db }: OpenEvents, filter: DeadEventFilter): Promise<number> {
  const { subscription, ids, before, limit } = filter
  const values = [subscription ?? null, ids ?? null, before ?? null, limit]
  const row = await db.queryOne<{ count: number }>(COUNT, values, { idempotent: true })
  return row?.count ?? 0
}

async function replay(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [subscription = ''] = invocation.words
  const { from, rate: perSecond } = invocation.values
  if (from === undefined) throw new Misunderstood('`sluice events replay` needs --from')
  const rate = wholeNumber(perSecond, 'rate', 1, 1_000_000)
  await using open = await openEvents(invocation, terminal, { tells: true })
  const isPlace = from === 'beginning' || /^\d{1,18}$/.test(from)
  const info = await open.events.replay(
    subscription,
    { from: isPlace ? from : timeOf(from, 'from', open.now), rate, by: `${userName()} by sluice events` },
    AbortSignal.timeout(30_000),
  )
  if (invocation.json) printJson({ replay: info }, terminal)
  else {
    terminal.out(
      `replay ${info.id} of ${subscription} begins, from ${info.from}, ${info.rate} events a second`,
    )
    const ends = nextCommand(invocation, 'events', `cancel-replay ${info.id}`)
    terminal.out(
      `\`${nextCommand(invocation, 'events', 'replays')}\` shows how far it is, \`${ends}\` ends it`,
    )
  }
  return EXIT.ok
}

/** A user without an entry has no name; containers run as such. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return 'somebody'
  }
}

async function cancelReplay(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [id = ''] = idsOf(invocation)
  await using open = await openEvents(invocation, terminal, { tells: true })
  const cancelled = await open.events.cancelReplay(id)
  if (invocation.json) printJson({ cancelled }, terminal)
  if (!cancelled) {
    terminal.err(`sluice: no replay ${id} is under way`)
    return EXIT.failure
  }
  if (!invocation.json) terminal.out(`replay ${id} is cancelled`)
  return EXIT.ok
}

async function pauseOrResume(invocation: Invocation, terminal: Terminal, pauses: boolean): Promise<number> {
  const [subscription = ''] = invocation.words
  await using open = await openEvents(invocation, terminal, { tells: true })
  if (pauses) await open.events.pause(subscription, invocation.values['why'])
  else await open.events.resume(subscription)
  if (invocation.json) printJson({ subscription, paused: pauses }, terminal)
  else terminal.out(`${subscription} ${pauses ? 'is paused' : 'goes on'}`)
  return EXIT.ok
}
