/** What a job is: its name, the schema of its data, and how it is run. Written once, shared by who enqueues and who handles. */
import type { Duration } from '../core/duration.ts'
import { checkOptionNames } from '../config/known-options.ts'
import { boundedMs } from '../core/bounded-duration.ts'
import { invalidArgument } from '../core/errors.ts'
import { isStandardSchema, type StandardSchema } from '../core/standard-schema.ts'

export interface JobOptions {
  /** Runs of a job, the first included, 1 to 100. @default 10 */
  readonly attempts?: number | undefined
  /** Waits between attempts: random between 0 and `base` doubled for each attempt, at most `max`; each at most 365 days. */
  readonly backoff?: { readonly base?: Duration | undefined; readonly max?: Duration | undefined } | undefined
  /** Limit of one attempt, 1 ms to 24 days. @default '5m' */
  readonly timeout?: Duration | undefined
  /** Jobs run at once in one process. @default JOBS_CONCURRENCY */
  readonly concurrency?: number | undefined
  /** 0 (first) to 9. @default 5 */
  readonly priority?: number | undefined
  /** Jobs of this queue share its pause and its limits. @default the job's name */
  readonly queue?: string | undefined
  /** Starts in a window of 1 ms to 365 days, over all processes. By key, each job needs a `key`. */
  readonly rate?:
    { readonly limit: number; readonly per: Duration; readonly by?: 'queue' | 'key' } | undefined
  /** Jobs that run at once over all processes. By key, each job needs a `key`; above 1 it ends the order of the key. */
  readonly limit?: { readonly running: number; readonly by?: 'queue' | 'key' } | undefined
  /** Keep what the handler returns for this long, at most 3,650 days, for `get`. @default not kept */
  readonly keepResult?: Duration | undefined
}

export interface Job<Input, Output = Input> {
  readonly name: string
  readonly queue: string
  readonly schema: StandardSchema<Input, Output>
  readonly attempts: number
  readonly backoff: { readonly baseMs: number; readonly capMs: number }
  readonly timeoutMs: number
  readonly concurrency: number | undefined
  readonly priority: number
  readonly rate: { readonly limit: number; readonly perMs: number; readonly by: 'queue' | 'key' } | undefined
  readonly limit: { readonly running: number; readonly by: 'queue' | 'key' } | undefined
  readonly keepResultMs: number
}

const NAME = /^[a-zA-Z][a-zA-Z0-9_.:-]{0,99}$/

/** Names a job. Throws SLUICE_INVALID_ARGUMENT. Nothing is registered anywhere: it is a value. */
export function job<Input, Output>(
  name: string,
  schema: StandardSchema<Input, Output>,
  options: JobOptions = {},
): Job<Input, Output> {
  checkName('job', name)
  const what = `job "${name}"`
  if (!isStandardSchema(schema)) {
    throw invalidArgument(`${what}: schema`, 'a Standard Schema (zod, valibot, arktype)', schema)
  }
  const { attempts = 10, backoff = {}, timeout = '5m', priority = 5, queue = name, rate, limit } = options
  checkNames(what, options)
  checkName(`${what}: queue`, queue)
  checkInteger(`${what}: attempts`, attempts, 1, 100)
  checkInteger(`${what}: priority`, priority, 0, 9)
  if (options.concurrency !== undefined) checkInteger(`${what}: concurrency`, options.concurrency, 1, 100_000)
  if (rate !== undefined) checkInteger(`${what}: rate.limit`, rate.limit, 1, 1_000_000)
  if (limit !== undefined) checkInteger(`${what}: limit.running`, limit.running, 1, 1_000_000)
  return Object.freeze({
    name,
    queue,
    schema,
    attempts,
    backoff: {
      baseMs: boundedMs(backoff.base ?? '1s', `${what}: backoff.base`, 0, '365d'),
      capMs: boundedMs(backoff.max ?? '10m', `${what}: backoff.max`, 0, '365d'),
    },
    timeoutMs: boundedMs(timeout, `${what}: timeout`, '1ms', '24d'),
    concurrency: options.concurrency,
    priority,
    rate: rate && {
      limit: rate.limit,
      perMs: boundedMs(rate.per, `${what}: rate.per`, '1ms', '365d'),
      by: rate.by ?? 'queue',
    },
    limit: limit && { running: limit.running, by: limit.by ?? 'queue' },
    keepResultMs:
      options.keepResult === undefined ? 0 : boundedMs(options.keepResult, `${what}: keepResult`, 0, '3650d'),
  })
}

const OPTIONS: readonly (keyof JobOptions)[] = [
  'attempts',
  'backoff',
  'timeout',
  'concurrency',
  'priority',
  'queue',
  'rate',
  'limit',
  'keepResult',
]

function checkNames(what: string, options: JobOptions): void {
  checkOptionNames(what, options, OPTIONS)
  checkOptionNames(`${what}: backoff`, options.backoff, ['base', 'max'])
  checkOptionNames(`${what}: rate`, options.rate, ['limit', 'per', 'by'])
  checkOptionNames(`${what}: limit`, options.limit, ['running', 'by'])
  for (const which of ['rate', 'limit'] as const) {
    const by: unknown = options[which]?.by
    if (by !== undefined && by !== 'queue' && by !== 'key') {
      throw invalidArgument(`${what}: ${which}.by`, '"queue" or "key"', by)
    }
  }
}

function checkName(what: string, name: unknown): void {
  if (typeof name === 'string' && NAME.test(name)) return
  throw invalidArgument(what, 'letters, digits and _ . : -, a letter first, at most 100', name)
}

function checkInteger(what: string, value: unknown, min: number, max: number): void {
  if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) return
  throw invalidArgument(what, `a whole number from ${min} to ${max}`, value)
}
