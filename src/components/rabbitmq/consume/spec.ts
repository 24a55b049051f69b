/** The options of a subscription, checked. */
import { durationMs, type Duration } from '../../../core/duration.ts'
import { invalidArgument } from '../../../core/errors.ts'
import type { StandardSchema } from '../../../core/standard-schema.ts'
import type { AsyncResult } from '../../../core/async-result.ts'
import type { Backoff } from '../../../core/backoff.ts'
import type { SubmitOptions } from '../../../app/component.ts'
import type { TaskFunction } from '../../../pool/task.ts'
import { checkKey } from '../publish/message.ts'
import type { MappedMessage, RabbitMessage, RawMessage } from './message.ts'

/** A pool that runs handlers: a WorkerPool is one. */
export interface HandlerPool {
  /** Tasks that run at once. */
  readonly capacity: number
  submit<T>(fn: TaskFunction<T>, options?: SubmitOptions): AsyncResult<T>
}

export interface SubscribeOptions<T = unknown> {
  /** Another exchange to bind to, which must be there. @default that of the component */
  readonly exchange?: string
  /** Runs the handlers. @default the component's own pool, of `infrastructure.<name>.workers` */
  readonly pool?: HandlerPool
  /** Messages that this process holds at once, 1 to 5,000; 1 keeps their order. @default twice what the pool runs at once */
  readonly prefetch?: number
  /** Attempts until a message becomes a dead letter, 1 to 1,000. @default 10 */
  readonly attempts?: number
  /** Between attempts: full jitter, doubling from `base` to `cap`; a tenth of a second at least. @default 1s, 5m */
  readonly backoff?: { readonly base?: Duration; readonly cap?: Duration }
  /** Limit of one attempt, up to 25 minutes. @default '5m' */
  readonly timeout?: Duration
  /** Deliveries that may end without an answer, as when the process dies, until it becomes a dead letter. @default 20 */
  readonly redeliveries?: number
  /** Checks the data, and makes of it what the handler is handed. What does not pass is a dead letter at once. */
  readonly schema?: StandardSchema<unknown, T>
  /** Reads messages of others, which have no envelope; what it throws makes a dead letter of them. */
  readonly map?: (raw: RawMessage) => MappedMessage
  /** Heed priorities. The queue is then a classic one, on one node: quorum queues have none. @default false */
  readonly priorities?: boolean
  /** One process reads at a time, and another when that one is gone; order is then kept over processes too. @default false */
  readonly singleActive?: boolean
  /** Messages that the queue takes; more are refused to their publisher. @default no limit */
  readonly maxLength?: number
}

export type Handler<T = unknown> = (message: RabbitMessage<T>) => unknown

/** What a subscription works by. */
export interface SubscriptionSpec {
  readonly queue: string
  readonly topics: readonly string[]
  readonly handler: Handler
  readonly exchange: string | undefined
  readonly pool: HandlerPool
  readonly prefetch: number
  readonly attempts: number
  readonly backoff: Backoff
  readonly timeoutMs: number
  readonly redeliveries: number
  readonly schema: StandardSchema | undefined
  readonly map: ((raw: RawMessage) => MappedMessage) | undefined
  readonly priorities: boolean
  readonly singleActive: boolean
  readonly maxLength: number | undefined
}

const MAX_PREFETCH = 5_000
/** RabbitMQ closes a channel whose messages are not answered for thirty. */
const MAX_TIMEOUT = '25m'

/** Throws SLUICE_INVALID_ARGUMENT. */
export function toSpec(
  topics: string | readonly string[],
  queue: string,
  handler: Handler,
  options: SubscribeOptions<never> | SubscribeOptions,
  ownPool: HandlerPool,
): SubscriptionSpec {
  checkKey('queue', queue)
  if (queue.startsWith('amq.') || queue.startsWith('sluice.') || queue.length > 200)
    throw invalidArgument(
      'queue',
      "a name of up to 200 characters that begins with neither 'amq.' nor 'sluice.'",
      queue,
    )
  const patterns = typeof topics === 'string' ? [topics] : [...topics]
  for (const pattern of patterns) checkKey('topics', pattern)
  if (typeof handler !== 'function') throw invalidArgument('handler', 'a function', typeof handler)
  const pool = options.pool ?? ownPool
  const timeoutMs = durationMs(options.timeout ?? '5m', 'timeout')
  if (!(timeoutMs >= 1 && timeoutMs <= durationMs(MAX_TIMEOUT, 'timeout')))
    throw invalidArgument('timeout', `1 ms to ${MAX_TIMEOUT}`, options.timeout)
  const baseMs = durationMs(options.backoff?.base ?? '1s', 'backoff.base')
  const capMs = durationMs(options.backoff?.cap ?? '5m', 'backoff.cap')
  if (!(baseMs >= 1 && capMs >= baseMs && capMs <= 86_400_000))
    throw invalidArgument('backoff', 'base of at least 1 ms, and cap from base to one day', options.backoff)
  return {
    queue,
    topics: patterns,
    handler,
    exchange: options.exchange === undefined ? undefined : checkKey('exchange', options.exchange),
    pool,
    prefetch: whole(
      'prefetch',
      options.prefetch ?? Math.min(MAX_PREFETCH, pool.capacity * 2),
      1,
      MAX_PREFETCH,
    ),
    attempts: whole('attempts', options.attempts ?? 10, 1, 1_000),
    backoff: { baseMs, capMs },
    timeoutMs,
    redeliveries: whole('redeliveries', options.redeliveries ?? 20, 0, 1_000),
    schema: options.schema as StandardSchema | undefined,
    map: options.map,
    priorities: options.priorities ?? false,
    singleActive: options.singleActive ?? false,
    maxLength:
      options.maxLength === undefined ? undefined : whole('maxLength', options.maxLength, 1, 2 ** 31),
  }
}

function whole(option: string, value: number, least: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value
  throw invalidArgument(option, `a whole number from ${least} to ${most}`, value)
}
