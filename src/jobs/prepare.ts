/** From what `enqueue` is handed to the row that it becomes: everything checked, before anything is sent. */
import { durationMs } from '../core/duration.ts'
import { checkOptionNames } from '../config/known-options.ts'
import { invalidArgument } from '../core/errors.ts'
import { checkData } from '../core/standard-schema.ts'
import { isStorable } from '../engine/storable.ts'
import { keyShard } from '../engine/tasks/keyed.ts'
import type { NewTask } from '../engine/tasks/task.ts'
import { carrier } from '../telemetry/context.ts'
import type { EnqueueOptions } from './api.ts'
import { encode } from './encode.ts'
import type { Job } from './job.ts'
import { uniqueOf, type Unique } from './unique.ts'

/** A task whose queue is known by name only. */
export type Draft = Omit<NewTask, 'queue'> & Partial<Unique>

/** A hundred years. */
const MAX_DELAY_MS = 3_155_760_000_000

const MAX_TEXT = 200

/** What ISO 8601 writes with four digits of a year. */
const LATEST = Date.UTC(9_999, 11, 31)

const OF_EACH = ['delay', 'runAt', 'priority', 'attempts', 'key', 'unique', 'group'] as const
const OPTIONS = [...OF_EACH, 'tx', 'signal'] as const
/** Of an item of many: the transaction and the signal are those of all. */
const ITEM_OPTIONS = [...OF_EACH, 'data'] as const

/**
 * Throws, or rejects where the schema is async. What is stored is the input, so that the handler's check reads it anew;
 * where JSON says something else than the input (a Date), that must fit the schema as well.
 */
export function prepare(
  job: Job<never, unknown>,
  data: unknown,
  options: EnqueueOptions,
  maxBytes: number,
  head: string | undefined,
): Draft | Promise<Draft> {
  const what = `job "${job.name}"`
  checkOptions(what, options)
  checkKey(job, options.key)
  const check = (value: unknown): unknown => checkData(job.schema, value, what)
  const checked = check(data)
  if (checked instanceof Promise) return checked.then(() => finish())
  return finish()

  function finish(): Draft | Promise<Draft> {
    const { text, changed } = encode(data, maxBytes, what)
    const draft = draftOf(job, text, options, head)
    if (!changed) return draft
    const again = check(JSON.parse(text))
    return again instanceof Promise ? again.then(() => draft) : draft
  }
}

function draftOf(
  job: Job<never, unknown>,
  body: string,
  { priority, attempts, delay, runAt, key, group, unique }: EnqueueOptions,
  head: string | undefined,
): Draft {
  const what = `job "${job.name}"`
  return {
    name: job.queue === job.name ? undefined : job.name,
    prio: priority ?? job.priority,
    shard: key === undefined ? 0 : keyShard(key),
    delay: delay === undefined ? 0 : Math.min(durationMs(delay, `${what}: delay`), MAX_DELAY_MS),
    run_at: runAt?.toISOString(),
    max_attempt: attempts ?? job.attempts,
    key,
    ...(unique === undefined ? undefined : uniqueOf(job.name, unique)),
    grp: group,
    body,
    head,
  }
}

/** JSON of the request and trace that this call belongs to; undefined for none. */
export function currentHead(): string | undefined {
  const carried = carrier()
  return carried.requestId === undefined && carried.traceparent === undefined
    ? undefined
    : JSON.stringify(carried)
}

function checkOptions(what: string, options: EnqueueOptions): void {
  checkOptionNames(what, options, 'data' in options ? ITEM_OPTIONS : OPTIONS)
  const { priority, attempts, key, group, runAt, delay } = options
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= 0 && priority <= 9)) {
    throw invalidArgument(`${what}: priority`, 'a whole number from 0 to 9', priority)
  }
  if (attempts !== undefined && !(Number.isInteger(attempts) && attempts >= 1 && attempts <= 100)) {
    throw invalidArgument(`${what}: attempts`, 'a whole number from 1 to 100', attempts)
  }
  checkText(`${what}: key`, key)
  checkText(`${what}: group`, group)
  if (runAt === undefined) return
  if (!(runAt instanceof Date) || !(runAt.getTime() >= 0 && runAt.getTime() <= LATEST)) {
    throw invalidArgument(`${what}: runAt`, 'a Date between the years 1970 and 9999', String(runAt))
  }
  if (delay !== undefined) throw invalidArgument(`${what}: runAt`, 'no delay beside it', delay)
}

/** What counts by key has nothing to count by without one, and would be no limit at all. */
function checkKey({ name, rate, limit }: Job<never, unknown>, key: string | undefined): void {
  if (key !== undefined) return
  const which = rate?.by === 'key' ? 'rate' : limit?.by === 'key' ? 'limit' : undefined
  if (which !== undefined)
    throw invalidArgument(`job "${name}": key`, `a key, by which its ${which} counts`, key)
}

function checkText(what: string, text: unknown): void {
  if (text === undefined || isStorable(text, MAX_TEXT)) return
  throw invalidArgument(what, `a text of 1 to ${MAX_TEXT} characters that can be stored`, text)
}
