/** A schedule as this process knows it: its expression, its policies, and its function. Checked here, once. */
import { boundedMs } from '../core/bounded-duration.ts'
import { invalidArgument } from '../core/errors.ts'
import { isStorable } from '../engine/storable.ts'
import type { CronHandler, HandleOptions, Missed, Overlap, ScheduleOptions } from './api.ts'
import { parseExpression, type Expression } from './expression.ts'

export interface Plan {
  readonly expression: Expression
  readonly overlap: Overlap
  readonly missed: Missed
}

export interface Entry {
  readonly name: string
  readonly plan: Plan
  readonly fn: CronHandler
  readonly timeoutMs: number
  readonly retries: number
  readonly transaction: boolean
  /** False for one that the configuration turned off: it can be run by hand. */
  readonly enabled: boolean
}

const NAME = /^[a-zA-Z][a-zA-Z0-9_.:-]{0,99}$/
const MAX_KEY = 200

export function planOf(
  where: string,
  expression: string,
  options: Pick<ScheduleOptions, 'timezone' | 'overlap' | 'missed'>,
): Plan {
  const { timezone = 'UTC', overlap = 'skip', missed = 'skip' } = options
  if (!['skip', 'queue', 'allow'].includes(overlap))
    throw invalidArgument(`${where}: overlap`, 'skip, queue or allow', overlap)
  if (!['skip', 'once', 'all'].includes(missed))
    throw invalidArgument(`${where}: missed`, 'skip, once or all', missed)
  return { expression: parseExpression(where, expression, timezone), overlap, missed }
}

export function entryOf(
  name: string,
  plan: Plan,
  fn: CronHandler,
  options: HandleOptions,
  enabled = true,
): Entry {
  const where = `schedule "${name}"`
  const { timeout = '10m', retries = 0, transaction = false } = options
  if (typeof fn !== 'function') throw invalidArgument(`${where}: fn`, 'a function', fn)
  if (!Number.isSafeInteger(retries) || retries < 0 || retries > 100)
    throw invalidArgument(`${where}: retries`, 'a whole number from 0 to 100', retries)
  return {
    name,
    plan,
    fn,
    timeoutMs: boundedMs(timeout, `${where}: timeout`, '1ms', '24d'),
    retries,
    transaction,
    enabled,
  }
}

export function checkName(name: unknown): void {
  if (typeof name === 'string' && NAME.test(name)) return
  throw invalidArgument('schedule: name', 'letters, digits and _ . : -, a letter first, at most 100', name)
}

export function checkKey(name: string, key: unknown): void {
  if (key === undefined || isStorable(key, MAX_KEY)) return
  throw invalidArgument(
    `schedule "${name}": key`,
    `text of 1 to ${MAX_KEY} characters that can be stored`,
    key,
  )
}
