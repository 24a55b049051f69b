/** `sluice jobs retry|redrive|drop|cancel|pause|resume`. */
import type { DeadLetterFilter } from '../../jobs/api.ts'
import type { Invocation, Option, Terminal } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import type { RunnableAction } from './action.ts'
import { ALL, CANARY, canariesLimit, needsYes, printRedriven } from './dead-letters.ts'
import { JOB } from './jobs-view.ts'
import { openEngine, type OpenEngine } from './open.ts'
import { BEFORE, DRY_RUN, idsOf, LIMIT, limitOf, nextCommand, timeOf, wholeNumber, YES } from './options.ts'
import { plural, printJson } from './text.ts'

const WHY: Option = { name: 'why', value: 'text', doc: 'the reason, shown by stats' }

export const JOB_CHANGES: readonly RunnableAction[] = [
  {
    name: 'retry',
    parameters: '<id>…',
    summary: 'puts these dead letters back, with fresh attempts',
    words: [1, ALL],
    options: [],
    run: retry,
  },
  {
    name: 'redrive',
    parameters: '',
    summary: 'puts dead letters back, a few first; the rest when those do not mostly fail again',
    words: [0, 0],
    options: [JOB, BEFORE, LIMIT, CANARY, DRY_RUN, YES],
    run: redrive,
  },
  {
    name: 'drop',
    parameters: '[<id>…]',
    summary: 'deletes dead letters',
    words: [0, ALL],
    options: [JOB, BEFORE, LIMIT, DRY_RUN, YES],
    run: drop,
  },
  {
    name: 'cancel',
    parameters: '<id>…',
    summary: 'removes jobs that wait, aborts those that run',
    words: [1, ALL],
    options: [],
    run: cancel,
  },
  {
    name: 'pause',
    parameters: '<queue>',
    summary: 'no process takes jobs of the queue any more; what runs goes on',
    words: [1, 1],
    options: [WHY],
    run: (invocation, terminal) => pauseOrResume(invocation, terminal, true),
  },
  {
    name: 'resume',
    parameters: '<queue>',
    summary: 'ends a pause',
    words: [1, 1],
    options: [],
    run: (invocation, terminal) => pauseOrResume(invocation, terminal, false),
  },
]

async function retry(invocation: Invocation, terminal: Terminal): Promise<number> {
  const ids = idsOf(invocation)
  await using open = await openEngine(invocation, terminal, 'jobs', { tells: true })
  const { redriveDead } = await import('../../jobs/admin/index.ts')
  const filter = { ids, canary: 0, limit: ids.length }
  const { redriven } = await redriveDead(open.engine, filter, canariesLimit(0))
  if (invocation.json) printJson({ asked: ids.length, redriven }, terminal)
  else terminal.out(`${plural(redriven, 'job')} put back`)
  if (redriven === ids.length) return EXIT.ok
  const missing = plural(ids.length - redriven, 'id')
  terminal.err(
    `sluice: ${missing} not put back: no dead letter of a job, or another job of its unique name waits`,
  )
  return EXIT.failure
}

async function redrive(invocation: Invocation, terminal: Terminal): Promise<number> {
  const canary = wholeNumber(invocation.values['canary'], 'canary', 0, ALL)
  await using open = await openEngine(invocation, terminal, 'jobs', { tells: true })
  const filter = filterOf(invocation, open)
  const count = await counted(invocation, terminal, open, filter, 'put back')
  if (count === undefined) return EXIT.ok
  if (count === 0) noneMatch(invocation, terminal)
  const { redriveDead } = await import('../../jobs/admin/index.ts')
  const answer = await redriveDead(open.engine, { ...filter, canary }, canariesLimit(canary))
  return printRedriven(answer, 'job', invocation, terminal)
}

async function drop(invocation: Invocation, terminal: Terminal): Promise<number> {
  const ids = idsOf(invocation)
  await using open = await openEngine(invocation, terminal, 'jobs')
  const filter = { ...filterOf(invocation, open), ids: ids.length === 0 ? undefined : ids }
  const count = await counted(invocation, terminal, open, filter, 'delete')
  if (count === undefined) return EXIT.ok
  if (count === 0) noneMatch(invocation, terminal)
  const { dropDead } = await import('../../jobs/admin/index.ts')
  const { job, ids: named, before } = filter
  const hasFilter = job !== undefined || named !== undefined || before !== undefined
  // Whoever asked for all of them has said yes to that.
  const dropped = await dropDead(open.engine, hasFilter ? filter : { ...filter, before: open.now })
  if (invocation.json) printJson({ dropped }, terminal)
  else terminal.out(`${plural(dropped, 'dead letter')} deleted`)
  return EXIT.ok
}

type Filter = DeadLetterFilter & { readonly limit: number }

function filterOf(invocation: Invocation, { now }: OpenEngine): Filter {
  const { job, before } = invocation.values
  return {
    job,
    before: before === undefined ? undefined : timeOf(before, 'before', now),
    limit: limitOf(invocation, ALL),
  }
}

/** How many it would be; undefined where that is all that was asked. */
async function counted(
  invocation: Invocation,
  terminal: Terminal,
  { db }: OpenEngine,
  filter: Filter,
  doing: string,
): Promise<number | undefined> {
  const { countDeadJobs } = await import('./count-dead-jobs.ts')
  const matching = await countDeadJobs(db, filter)
  const hasFilter = filter.job !== undefined || filter.ids !== undefined || filter.before !== undefined
  needsYes(invocation, hasFilter, matching, doing, '--job or --before')
  if (!invocation.switches.has('dry-run')) return matching
  if (invocation.json) printJson({ dryRun: true, matching }, terminal)
  else terminal.out(`this would ${doing} ${plural(matching, 'dead letter')}`)
  return undefined
}

/** It may be what was wanted, so it is no failure; a mistyped name looks the same. */
function noneMatch({ values, words }: Invocation, terminal: Terminal): void {
  const { job, before } = values
  if (job === undefined || words.length > 0) return
  const when = before === undefined ? '' : ` that died before ${before}`
  terminal.err(`sluice: no job called ${JSON.stringify(job)} has dead letters${when}`)
}

async function cancel(invocation: Invocation, terminal: Terminal): Promise<number> {
  const ids = idsOf(invocation)
  await using open = await openEngine(invocation, terminal, 'jobs', { tells: true })
  const { cancelJob } = await import('../../jobs/admin/index.ts')
  const cancelled: string[] = []
  for (const id of ids) if (await cancelJob(open.engine, id)) cancelled.push(id)
  const missing = ids.filter((id) => !cancelled.includes(id))
  if (invocation.json) printJson({ cancelled, missing }, terminal)
  else terminal.out(`${plural(cancelled.length, 'job')} cancelled`)
  if (missing.length === 0) return EXIT.ok
  terminal.err(`sluice: neither waiting nor running: ${missing.join(', ')}`)
  return EXIT.failure
}

async function pauseOrResume(invocation: Invocation, terminal: Terminal, pauses: boolean): Promise<number> {
  const [queue = ''] = invocation.words
  await using open = await openEngine(invocation, terminal, 'jobs', { tells: true })
  const { pauseQueue, resumeQueue } = await import('../../jobs/admin/index.ts')
  const names = `\`${nextCommand(invocation, 'jobs')}\` names the queues.`
  if (pauses) await pauseQueue(open.engine, queue, invocation.values['why'], names)
  else await resumeQueue(open.engine, queue, names)
  if (invocation.json) printJson({ queue, paused: pauses }, terminal)
  else terminal.out(`${queue} ${pauses ? 'is paused' : 'goes on'}`)
  return EXIT.ok
}
