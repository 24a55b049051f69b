/** Options of `consume`, checked once. */
import { durationMs, type Duration } from '../../../core/duration.ts'
import { invalidArgument } from '../../../core/errors.ts'
import type { KafkaConfig } from '../section.ts'

/** Where a group begins, or is put: `beginning`, `end`, the first message from a time on, or offsets by partition. */
export type Position =
  | 'beginning'
  | 'end'
  | { readonly time: Date | number }
  | { readonly offsets: Readonly<Record<number, bigint | number>> }

export interface ConsumeOptions {
  /** Members of one group share the partitions. @default KAFKA_CONSUMER_GROUP, else the name of the app */
  readonly group?: string
  /** Handlers at once in this process, over all partitions. @default `infrastructure.kafka.workers`, 10 */
  readonly concurrency?: number
  /** Messages of one key of a partition one after another, or all of a partition. @default 'key' */
  readonly order?: 'key' | 'partition'
  /** Limit of one call of the handler; its signal aborts then, and the attempt has failed. @default '30s' */
  readonly timeout?: Duration
  /** Calls in a row, with back-off, before a retry topic; others of the key wait meanwhile. @default 1 */
  readonly attempts?: number
  /** Delays of the retry topics, 5 at most: an attempt in each. Order by key is given up for what goes there. @default ['1s', '30s'] */
  readonly retry?: readonly Duration[]
  /** False tries in place for ever, and the key waits, instead of putting away what failed. @default true */
  readonly deadLetter?: boolean
  /** Where a group that has committed nothing yet begins. @default 'beginning' */
  readonly from?: 'beginning' | 'end' | { readonly time: Date | number }
  /** Static membership: a restart within the session timeout moves no partitions. Different for every process. @default none */
  readonly instanceId?: string
  /** @default KAFKA_SESSION_TIMEOUT */
  readonly sessionTimeout?: Duration
  /** Bytes held before fetching stops. @default KAFKA_MAX_BUFFERED_BYTES */
  readonly maxBufferedBytes?: number
  /** How often what is finished is committed. @default '500ms' */
  readonly commitInterval?: Duration
}

export interface CheckedConsume {
  readonly topics: readonly string[]
  readonly group: string
  readonly concurrency: number
  readonly order: 'key' | 'partition'
  readonly timeoutMs: number
  readonly attempts: number
  readonly retryMs: readonly number[]
  readonly deadLetter: boolean
  readonly from: 'beginning' | 'end' | { readonly time: Date | number }
  readonly instanceId: string | undefined
  readonly sessionTimeoutMs: number
  readonly maxBytes: number
  readonly commitMs: number
}

const GROUP = /^[a-zA-Z0-9._-]{1,120}$/
const MAX_RETRY_TOPICS = 5

/** Throws SLUICE_INVALID_ARGUMENT. */
export function checkConsume(
  topics: readonly string[],
  options: ConsumeOptions,
  config: KafkaConfig,
  defaults: { readonly group: string; readonly concurrency: number },
): CheckedConsume {
  const group = options.group ?? defaults.group
  if (!GROUP.test(group))
    throw invalidArgument('group', '1 to 120 letters, digits, dots, dashes and underscores', group)
  if (topics.length === 0) throw invalidArgument('topic', 'one topic or more', topics)
  const { retry = ['1s', '30s'], order = 'key' } = options
  if (retry.length > MAX_RETRY_TOPICS)
    throw invalidArgument('retry', `at most ${MAX_RETRY_TOPICS} delays`, retry.length)
  if (order !== 'key' && order !== 'partition') throw invalidArgument('order', "'key' or 'partition'", order)
  const deadLetter = options.deadLetter ?? true
  return {
    topics,
    group,
    concurrency: whole('concurrency', options.concurrency ?? defaults.concurrency, 10_000),
    order,
    timeoutMs: durationMs(options.timeout ?? '30s', 'timeout'),
    attempts: whole('attempts', options.attempts ?? 1, 1_000),
    retryMs: deadLetter ? retry.map((delay, index) => durationMs(delay, `retry[${index}]`)) : [],
    deadLetter,
    from: options.from ?? 'beginning',
    instanceId: options.instanceId,
    sessionTimeoutMs:
      options.sessionTimeout === undefined
        ? config.sessionTimeout
        : durationMs(options.sessionTimeout, 'sessionTimeout'),
    maxBytes: whole('maxBufferedBytes', options.maxBufferedBytes ?? config.maxBufferedBytes, 2 ** 40),
    commitMs: durationMs(options.commitInterval ?? '500ms', 'commitInterval'),
  }
}

function whole(option: string, value: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value
  throw invalidArgument(option, `a whole number from 1 to ${max}`, value)
}
