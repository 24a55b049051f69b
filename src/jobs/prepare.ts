/** From what `enqueue` is handed to the row that it becomes: everything checked, before anything is sent. */
import { durationMs } from '../core/duration.ts'
import { invalidArgument } from '../core/errors.ts'
import { checkData } from '../core/standard-schema.ts'
import { keyShard } from '../engine/tasks/keyed.ts'
import type { NewTask } from '../engine/tasks/task.ts'
import { carrier } from '../telemetry/context.ts'
import type { EnqueueOptions } from './api.ts'
import { encodeData } from './encode.ts'
import type { Job } from './job.ts'

/** A task whose queue is known by name only. */
export type Draft = Omit<NewTask, 'queue'>

const OPTIONS: ReadonlySet<string> = new Set([
  'tx',
  'delay',
  'runAt',
  'priority',
  'key',
  'unique',
  'group',
  'signal',
  'data',
])

/** Throws, or rejects where the schema is async. What is stored is the input, so that the handler's check reads it anew. */
export function prepare(
  job: Job<never, unknown>,
  data: unknown,
  options: EnqueueOptions,
  maxBytes: number,
  head: string | undefined,
): Draft | Promise<Draft> {
  const what = `job "${job.name}"`
  checkOptions(what, options)
  const checked = checkData(job.schema, data, what)
  const finish = (): Draft => ({
    ...(job.queue === job.name ? {} : { name: job.name }),
    prio: options.priority ?? job.priority,
    shard: options.key === undefined ? 0 : keyShard(options.key),
    delay: options.delay === undefined ? 0 : durationMs(options.delay, `${what}: delay`),
    ...(options.runAt === undefined ? {} : { run_at: options.runAt.toISOString() }),
    max_attempt: job.attempts,
    ...(options.key === undefined ? {} : { key: options.key }),
    ...(options.group === undefined ? {} : { grp: options.group }),
    body: encodeData(data, maxBytes, what),
    ...(head === undefined ? {} : { head }),
  })
  return checked instanceof Promise ? checked.then(finish) : finish()
}

/** JSON of the request and trace that this call belongs to; undefined for none. */
export function currentHead(): string | undefined {
  const carried = carrier()
  return carried.requestId === undefined && carried.traceparent === undefined
    ? undefined
    : JSON.stringify(carried)
}

function checkOptions(what: string, options: EnqueueOptions): void {
  for (const name in options) {
    if (!OPTIONS.has(name)) {
      throw invalidArgument(`${what}: options`, `only ${[...OPTIONS].join(', ')}`, name)
    }
  }
  const { priority, key, group, runAt, delay } = options
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= 0 && priority <= 9)) {
    throw invalidArgument(`${what}: priority`, 'a whole number from 0 to 9', priority)
  }
  checkText(`${what}: key`, key)
  checkText(`${what}: group`, group)
  if (runAt === undefined) return
  if (!(runAt instanceof Date) || Number.isNaN(runAt.getTime())) {
    throw invalidArgument(`${what}: runAt`, 'a valid Date', String(runAt))
  }
  if (delay !== undefined) throw invalidArgument(`${what}: runAt`, 'no delay beside it', delay)
}

function checkText(what: string, text: unknown): void {
  if (text === undefined) return
  if (typeof text === 'string' && text.length > 0 && text.length <= 200 && !text.includes('\0')) return
  throw invalidArgument(what, 'a text of 1 to 200 characters', text)
}
