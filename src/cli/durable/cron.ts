/** `sluice cron`: schedules in the database, and their runs. Those without a database live in their process alone. */
import { randomUUID } from 'node:crypto'
import type { CronRun, Missed, Overlap, ScheduleStatus } from '../../cron/api.ts'
import type { ClusterCalls } from '../../cron/cluster-calls.ts'
import type { Invocation, Option, Terminal } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { Misunderstood } from '../misunderstood.ts'
import { commandOf, type RunnableAction } from './action.ts'
import { openEngine, type OpenEngine } from './open.ts'
import { LIMIT, limitOf, YES } from './options.ts'
import { moment, printJson, printTable, span } from './text.ts'

const TIMEZONE: Option = { name: 'timezone', value: 'zone', doc: 'such as Europe/Berlin; default: as it is' }
const OVERLAP: Option = { name: 'overlap', value: 'how', doc: 'skip, queue or allow; default: as it is' }
const MISSED: Option = { name: 'missed', value: 'how', doc: 'skip, once or all; default: as it is' }
const KEY: Option = { name: 'key', value: 'text', doc: 'calls of one key are one run' }

const actions: readonly RunnableAction[] = [
  {
    name: 'list',
    parameters: '',
    summary: 'schedules: when they run next, and how they ran last',
    words: [0, 0],
    options: [],
    run: list,
  },
  {
    name: 'history',
    parameters: '<name>',
    summary: 'runs of a schedule, the newest first; 50 of them',
    words: [1, 1],
    options: [LIMIT],
    run: history,
  },
  {
    name: 'run',
    parameters: '<name>',
    summary: 'one run now, in a process that has its function',
    words: [1, 1],
    options: [KEY],
    run: runNow,
  },
  {
    name: 'pause',
    parameters: '<name>',
    summary: 'no new runs by time; what runs goes on',
    words: [1, 1],
    options: [],
    run: (invocation, terminal) => pauseOrResume(invocation, terminal, true),
  },
  {
    name: 'resume',
    parameters: '<name>',
    summary: 'ends a pause',
    words: [1, 1],
    options: [],
    run: (invocation, terminal) => pauseOrResume(invocation, terminal, false),
  },
  {
    name: 'reschedule',
    parameters: '<name> <expression>',
    summary: 'another expression from now on, until a process registers its own again at its start',
    words: [2, 2],
    options: [TIMEZONE, OVERLAP, MISSED],
    run: reschedule,
  },
  {
    name: 'remove',
    parameters: '<name>',
    summary: 'forgets a schedule, until a process registers it again at its start; what runs goes on',
    words: [1, 1],
    options: [YES],
    run: remove,
  },
]

export const cronCommand = commandOf(
  {
    name: 'cron',
    summary: 'schedules: next and last runs, run now, pause, reschedule, remove',
    detail:
      'Looks into the database that the schedules of the app live in, or into the one of --dsn or POSTGRES_DSN. The app is\n' +
      'not started, and no schedule runs here. Schedules of an app without a database are not seen. Without an action: list.',
  },
  actions,
)

interface OpenCron extends OpenEngine {
  readonly calls: ClusterCalls
}

async function open(invocation: Invocation, terminal: Terminal, tells = false): Promise<OpenCron> {
  const [opened, { ClusterCalls }] = await Promise.all([
    openEngine(invocation, terminal, 'cron', { tells }),
    import('../../cron/cluster-calls.ts'),
  ])
  return { ...opened, calls: new ClusterCalls(opened.engine) }
}

async function list(invocation: Invocation, terminal: Terminal): Promise<number> {
  await using opened = await open(invocation, terminal)
  const schedules = await opened.calls.schedules()
  const row = (each: ScheduleStatus): readonly string[] => [
    each.name,
    each.expression,
    each.timezone,
    each.paused ? 'paused' : moment(each.nextRun, opened.now),
    moment(each.lastRun, opened.now),
    each.lastState ?? '-',
    String(each.running),
  ]
  const head = ['name', 'expression', 'timezone', 'next', 'last', 'state', 'running']
  if (invocation.json) printJson({ schedules }, terminal)
  else printTable(head, schedules.map(row), 'No schedule yet.', terminal)
  return EXIT.ok
}

async function history(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [name = ''] = invocation.words
  const limit = limitOf(invocation, 50)
  await using opened = await open(invocation, terminal)
  const runs = await opened.calls.history(name, limit)
  const row = (each: CronRun): readonly string[] => [
    each.id,
    each.state,
    moment(each.slot, opened.now),
    moment(each.startedAt, opened.now),
    each.durationMs === undefined ? '-' : took(each.durationMs),
    String(each.attempt),
    each.key ?? '-',
    each.error ?? '-',
  ]
  const head = ['id', 'state', 'slot', 'started', 'took', 'attempt', 'key', 'error']
  if (invocation.json) printJson({ runs }, terminal)
  else printTable(head, runs.map(row), `No run of ${JSON.stringify(name)} is kept.`, terminal)
  return EXIT.ok
}

function took(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)}ms` : span(ms)
}

async function runNow(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [name = ''] = invocation.words
  const { key } = invocation.values
  const { checkKey } = await import('../../cron/entry.ts')
  checkKey(name, key)
  await using opened = await open(invocation, terminal, true)
  const { id, created } = await opened.calls.runNow(name, key, randomUUID())
  if (invocation.json) printJson({ id, created }, terminal)
  else terminal.out(created ? `run ${id} of ${name} waits for a process` : `run ${id} of this key was there`)
  return EXIT.ok
}

async function reschedule(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [name = '', expression = ''] = invocation.words
  const { timezone, overlap, missed } = invocation.values
  await using opened = await open(invocation, terminal, true)
  const { planOf } = await import('../../cron/entry.ts')
  const now = (await opened.calls.schedules()).find((each) => each.name === name)
  const plan = planOf(`schedule "${name}"`, expression, {
    timezone: timezone ?? now?.timezone,
    // Checked there.
    overlap: (overlap as Overlap | undefined) ?? now?.overlap,
    missed: (missed as Missed | undefined) ?? now?.missed,
  })
  await opened.calls.reschedule(name, plan)
  const after = (await opened.calls.schedules()).find((each) => each.name === name)
  if (invocation.json) printJson({ schedule: after }, terminal)
  else terminal.out(`${name} runs ${moment(after?.nextRun, opened.now)}, by ${expression}`)
  return EXIT.ok
}

async function remove(invocation: Invocation, terminal: Terminal): Promise<number> {
  const [name = ''] = invocation.words
  if (!invocation.switches.has('yes')) {
    throw new Misunderstood(`this would remove ${name}, and its runs that wait: confirm with --yes`)
  }
  await using opened = await open(invocation, terminal, true)
  const removed = await opened.calls.remove(name)
  if (invocation.json) printJson({ name, removed }, terminal)
  else if (removed) terminal.out(`${name} is removed`)
  if (removed) return EXIT.ok
  terminal.err(`sluice: there is no schedule ${JSON.stringify(name)}`)
  return EXIT.failure
}

async function pauseOrResume(invocation: Invocation, terminal: Terminal, pauses: boolean): Promise<number> {
  const [name = ''] = invocation.words
  await using opened = await open(invocation, terminal, true)
  await opened.calls.pause(name, pauses)
  if (invocation.json) printJson({ name, paused: pauses }, terminal)
  else terminal.out(`${name} ${pauses ? 'is paused' : 'goes on'}`)
  return EXIT.ok
}
