/** `sluice jobs stats|list|show|dead`: looks, and changes nothing. */
import type { DeadLetter, JobFilter, JobInfo, ListedJob, QueueStats } from '../../jobs/api.ts'
import type { Invocation, Option, Terminal } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { Misunderstood } from '../misunderstood.ts'
import type { RunnableAction } from './action.ts'
import { printBody, printDeadLetter, printErrors } from './dead-letters.ts'
import { openEngine, type OpenEngine } from './open.ts'
import { BEFORE, idsOf, LIMIT, limitOf, timeOf } from './options.ts'
import { moment, printFacts, printJson, printTable, span } from './text.ts'

export const JOB: Option = { name: 'job', value: 'name', doc: 'of this job' }
const QUEUE: Option = { name: 'queue', value: 'name', doc: 'of this queue' }
const AFTER: Option = {
  name: 'after',
  value: 'id',
  doc: 'only those enqueued before this one: the next page',
}
const STATES = ['scheduled', 'ready', 'running']
const STATE: Option = { name: 'state', value: 'state', doc: `one of ${STATES.join(', ')}` }

export const JOB_VIEWS: readonly RunnableAction[] = [
  {
    name: 'stats',
    parameters: '',
    summary: 'each queue: what waits, runs and is dead, and for how long the oldest has waited',
    words: [0, 0],
    options: [],
    run: stats,
  },
  {
    name: 'list',
    parameters: '',
    summary: 'jobs that wait or run, the youngest first; 50 of them',
    words: [0, 0],
    options: [JOB, QUEUE, STATE, AFTER, LIMIT],
    run: list,
  },
  {
    name: 'show',
    parameters: '<id>',
    summary: 'one job, wherever it is, with its data and errors',
    words: [1, 1],
    options: [],
    run: show,
  },
  {
    name: 'dead',
    parameters: '',
    summary: 'dead letters, the youngest first; 50 of them',
    words: [0, 0],
    options: [JOB, BEFORE, LIMIT],
    run: dead,
  },
]

async function stats(invocation: Invocation, terminal: Terminal): Promise<number> {
  await using open = await openEngine(invocation, terminal, 'jobs')
  const { queueStats } = await import('../../jobs/admin/queues.ts')
  const queues = await queueStats(open.db)
  if (invocation.json) printJson({ queues }, terminal)
  else printTable(STATS_HEAD, queues.map(statsRow), 'No queue yet: nothing was enqueued.', terminal)
  return EXIT.ok
}

const STATS_HEAD = ['queue', 'ready', 'scheduled', 'running', 'dead', 'oldest', 'paused']

function statsRow(queue: Omit<QueueStats, 'unknown'>): readonly string[] {
  const { ready, scheduled, running, oldestReadyMs } = queue
  const paused = queue.paused ? (queue.pausedWhy ?? 'yes') : '-'
  const oldest = ready === 0 ? '-' : span(oldestReadyMs)
  return [queue.name, ...[ready, scheduled, running, queue.dead].map(String), oldest, paused]
}

async function list(invocation: Invocation, terminal: Terminal): Promise<number> {
  const { job, queue, state, after } = invocation.values
  if (after !== undefined) idsOf({ ...invocation, words: [after] })
  if (state !== undefined && !STATES.includes(state)) {
    throw new Misunderstood(`--state: expected one of ${STATES.join(', ')}, got ${JSON.stringify(state)}`)
  }
  const limit = limitOf(invocation, 50)
  await using open = await openEngine(invocation, terminal, 'jobs')
  const { listJobs } = await import('../../jobs/admin/index.ts')
  const jobs = await listJobs(open.db, { job, queue, state: state as JobFilter['state'], after, limit })
  // Bodies are not read for a list; `show` has them.
  if (invocation.json) printJson({ jobs: jobs.map((each) => ({ ...each, ...WITHOUT_BODY })) }, terminal)
  else printTable(LIST_HEAD, jobs.map(listRow(open.now)), 'No job waits or runs.', terminal)
  return EXIT.ok
}

const WITHOUT_BODY = { data: undefined, result: undefined }

const LIST_HEAD = ['id', 'job', 'state', 'attempt', 'prio', 'due', 'enqueued', 'key', 'group']

const listRow =
  (now: Date) =>
  (job: ListedJob): readonly string[] => [
    job.id,
    job.name,
    job.state,
    `${job.attempt}/${job.maxAttempts}`,
    String(job.priority),
    moment(job.runAt, now),
    moment(job.enqueuedAt, now),
    job.key ?? '-',
    job.group ?? '-',
  ]

async function show(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [id = ''] = idsOf(invocation)
  await using open = await openEngine(invocation, terminal, 'jobs')
  const { findJob, getDead } = await import('../../jobs/admin/index.ts')
  const letter = await getDead(open.engine, id)
  const job = letter ?? (await findJob(open.db, id))
  if (job === undefined) {
    terminal.err(`sluice: there is no job ${id}: it was done, cancelled or dropped, or it never was`)
    return EXIT.failure
  }
  if (invocation.json) printJson({ job: { ...job, diedAt: letter?.diedAt, why: letter?.why } }, terminal)
  else if (letter === undefined) printJob(job, open, terminal)
  else printDeadLetter(letter, factsOf(letter, open), open.now, terminal)
  return EXIT.ok
}

function factsOf(job: JobInfo, { now }: OpenEngine): readonly (readonly [string, string | undefined])[] {
  return [
    ['job', job.name],
    ['state', job.state],
    ['enqueued', moment(job.enqueuedAt, now)],
    ['key', job.key],
    ['group', job.group],
  ]
}

function printJob(job: JobInfo, open: OpenEngine, terminal: Terminal): void {
  const { progress } = job
  const done = progress === undefined ? undefined : `${Math.round(progress.fraction * 100)} %`
  printFacts(
    [
      ['id', job.id],
      ...factsOf(job, open),
      [job.state === 'done' ? 'finished' : 'due', moment(job.runAt, open.now)],
      ['priority', String(job.priority)],
      ['attempts', `${job.attempt} of ${job.maxAttempts}`],
      ['progress', progress?.note === undefined ? done : `${done}, ${progress.note}`],
      ['trace', job.traceId],
      ['result', job.result === undefined ? undefined : JSON.stringify(job.result)],
    ],
    terminal,
  )
  printErrors(job.errors, open.now, terminal)
  printBody(job.data, terminal)
}

async function dead(invocation: Invocation, terminal: Terminal): Promise<number> {
  const limit = limitOf(invocation, 50)
  await using open = await openEngine(invocation, terminal, 'jobs')
  const { job, before } = invocation.values
  const { listDead } = await import('../../jobs/admin/index.ts')
  const filter = { job, before: before === undefined ? undefined : timeOf(before, 'before', open.now), limit }
  const letters = await listDead(open.engine, filter)
  if (invocation.json) printJson({ deadLetters: letters }, terminal)
  else printTable(DEAD_HEAD, letters.map(deadRow(open.now)), 'No dead letters.', terminal)
  return EXIT.ok
}

const DEAD_HEAD = ['id', 'job', 'died', 'attempts', 'why']

const deadRow =
  (now: Date) =>
  (letter: DeadLetter): readonly string[] => [
    letter.id,
    letter.name,
    moment(letter.diedAt, now),
    String(letter.attempt),
    letter.why,
  ]
