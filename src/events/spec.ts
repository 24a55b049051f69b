/** A subscription as the user wrote it, checked, with its defaults. */
import { checkOptionNames } from '../config/known-options.ts'
import { boundedMs } from '../core/bounded-duration.ts'
import { invalidArgument } from '../core/errors.ts'
import type { BatchSubscribeOptions, EventBatchHandler, EventHandler, SubscribeOptions } from './api.ts'
import type { StoredEvent } from './decode.ts'
import { checkSubscriptionName, isEventType, type EventType } from './event.ts'
import { topicMatcher } from './pattern.ts'

export type Handler =
  | { readonly kind: 'single'; readonly run: EventHandler<unknown> }
  | { readonly kind: 'batch'; readonly run: EventBatchHandler<unknown>; readonly size: number }
  | { readonly kind: 'relay'; readonly run: RelayHandler; readonly size: number }

/** Takes events as they are stored, and answers for each why it failed. What it rejects with fails all of them. */
export type RelayHandler = (
  events: readonly StoredEvent[],
  signal: AbortSignal,
) => Promise<readonly (Error | undefined)[]>

export interface SubscriptionSpec {
  readonly name: string
  /** Topics and patterns, in order. */
  readonly patterns: readonly string[]
  readonly matches: (topic: string) => boolean
  /** Types of topics that were named by one. */
  readonly types: ReadonlyMap<string, EventType<unknown, unknown>>
  readonly handler: Handler
  readonly from: 'now' | 'beginning'
  readonly ordered: boolean
  readonly attempts: number
  readonly backoff: { readonly baseMs: number; readonly capMs: number }
  readonly timeoutMs: number
  readonly concurrency: number
  readonly shards: number
  readonly transaction: boolean
  /** `hold`, of relays: as `stop`, but what will never succeed (SLUICE_INVALID_DATA) is a dead letter at once. */
  readonly onFail: 'park' | 'skip' | 'stop' | 'hold'
}

const MAX_SHARDS = 64
const MAX_BATCH = 5_000

const OPTIONS = [
  'from',
  'ordered',
  'attempts',
  'backoff',
  'timeout',
  'concurrency',
  'batch',
  'shards',
  'transaction',
  'onFail',
] as const satisfies readonly (keyof SubscribeOptions | 'batch')[]

type What = EventType<unknown, unknown> | readonly EventType<unknown, unknown>[] | string

/** Throws SLUICE_INVALID_ARGUMENT. */
export function subscriptionSpec(
  what: What,
  name: string,
  handler: EventHandler<unknown> | EventBatchHandler<unknown>,
  options: SubscribeOptions | BatchSubscribeOptions,
  defaultConcurrency: number,
): SubscriptionSpec {
  checkSubscriptionName(name)
  const who = `subscription "${name}"`
  const types = typesOf(who, what)
  const patterns = typeof what === 'string' ? [what] : [...types.keys()].toSorted()
  if (typeof handler !== 'function') throw invalidArgument(`${who}: handler`, 'a function', handler)
  checkOptionNames(`${who}: options`, options, OPTIONS)
  checkOptionNames(`${who}: backoff`, options.backoff, ['base', 'max'])
  const { from = 'now', ordered, attempts = 8, backoff = {}, timeout = '30s', shards = 1 } = options
  const { transaction = false, onFail = 'park' } = options
  const concurrency = ('concurrency' in options ? options.concurrency : undefined) ?? defaultConcurrency
  if (from !== 'now' && from !== 'beginning')
    throw invalidArgument(`${who}: from`, "'now' or 'beginning'", from)
  if (ordered !== undefined && ordered !== 'key') throw invalidArgument(`${who}: ordered`, "'key'", ordered)
  if (!['park', 'skip', 'stop'].includes(onFail)) {
    throw invalidArgument(`${who}: onFail`, "'park', 'skip' or 'stop'", onFail)
  }
  checkInteger(`${who}: attempts`, attempts, 1, 100)
  checkInteger(`${who}: shards`, shards, 1, MAX_SHARDS)
  checkInteger(`${who}: concurrency`, concurrency, 1, 10_000)
  return Object.freeze({
    name,
    patterns,
    matches: topicMatcher(patterns),
    types,
    handler: handlerOf(who, handler, options),
    from,
    ordered: ordered === 'key',
    attempts,
    backoff: {
      baseMs: boundedMs(backoff.base ?? '1s', `${who}: backoff.base`, 0, '365d'),
      capMs: boundedMs(backoff.max ?? '10m', `${who}: backoff.max`, 0, '365d'),
    },
    timeoutMs: boundedMs(timeout, `${who}: timeout`, '1ms', '24d'),
    concurrency,
    shards,
    transaction,
    onFail,
  })
}

function typesOf(who: string, what: What): ReadonlyMap<string, EventType<unknown, unknown>> {
  if (typeof what === 'string') return new Map()
  const list = Array.isArray(what) ? (what as readonly unknown[]) : [what]
  if (list.length === 0 || !list.every(isEventType)) {
    throw invalidArgument(`${who}: what it reads`, 'an event, several, or a pattern', what)
  }
  return new Map(list.map((type) => [type.topic, type]))
}

function handlerOf(
  who: string,
  run: EventHandler<unknown> | EventBatchHandler<unknown>,
  options: SubscribeOptions | BatchSubscribeOptions,
): Handler {
  const size = 'batch' in options ? options.batch : undefined
  if (size === undefined) return { kind: 'single', run: run as EventHandler<unknown> }
  checkInteger(`${who}: batch`, size, 1, MAX_BATCH)
  return { kind: 'batch', run: run as EventBatchHandler<unknown>, size }
}

function checkInteger(what: string, value: unknown, min: number, max: number): void {
  if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) return
  throw invalidArgument(what, `a whole number from ${min} to ${max}`, value)
}
