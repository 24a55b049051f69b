/** What services are handed for a rabbitmq component. */
import type { ComponentBase } from '../../app/component.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { BatchResult } from '../../core/batch-result.ts'
import type { Handler, SubscribeOptions } from './consume/spec.ts'
import type { Subscription } from './consume/subscription.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { PublishOptions } from './publish/message.ts'

/** One of a batch. */
export interface BatchMessage {
  readonly topic: string
  readonly data: unknown
  readonly options?: Omit<PublishOptions, 'signal' | 'timeout'>
}

/**
 * What is promised:
 * - **Publish** resolves when the broker has the message on every queue that takes it: on disk where the queue is durable
 *   and the message persistent. A message whose connection ended is sent again with its id, so it may come twice.
 * - **Delivery** is at least once. A message is acknowledged after its handler, or after a copy of it was confirmed in a
 *   delay queue or in the dead letters. Effects happen once where the handler knows a message again by its id.
 * - **Order** is that of the queue only with `prefetch: 1`, in one process, and never across attempts.
 */
export interface RabbitMQ extends ComponentBase {
  /**
   * Publishes to the topic exchange; bytes as they are, everything else as JSON, in a CloudEvents envelope. Resolves with
   * the id. Rejects with SLUICE_UNROUTABLE (no queue takes it), SLUICE_OVERLOADED (refused, or the broker is blocked),
   * SLUICE_OUTCOME_UNKNOWN or SLUICE_TIMEOUT (not confirmed in time: publish again with the same id), SLUICE_TOO_LARGE,
   * SLUICE_INVALID_DATA, SLUICE_INVALID_ARGUMENT, SLUICE_UNSUPPORTED, SLUICE_POOL_FULL, SLUICE_NOT_READY.
   */
  publish(topic: string, data: unknown, options?: PublishOptions): AsyncResult<string>

  /** Publishes many at once, each with a result of its own: its id, or its error. Each takes a slot: beyond MQ_MAX_OUTSTANDING and MQ_MAX_WAITING together the rest is SLUICE_POOL_FULL. */
  publishBatch(
    messages: readonly BatchMessage[],
    options?: Pick<PublishOptions, 'signal' | 'timeout'>,
  ): BatchResult<string>

  /**
   * Calls `handler` for the messages of a durable queue, which is declared and bound to the topics: `post.*` for one word,
   * `post.#` for any. Processes that subscribe to one queue share its messages. It consumes from when the component is
   * connected on, and after each reconnect. Throws SLUICE_INVALID_ARGUMENT; SLUICE_CONFLICT when this component reads
   * the queue already.
   */
  subscribe<T = unknown>(
    topics: string | readonly string[],
    queue: string,
    handler: Handler<T>,
    options?: SubscribeOptions<T>,
  ): Subscription

  /** Messages of a queue that used up their attempts, could not be read, or that the broker itself gave up on. */
  deadLetters(queue: string): DeadLetters

  /** Delayed messages that no queue wanted when they were due. A redrive publishes them to their exchange again. */
  unroutable(): DeadLetters

  /**
   * Deletes the queue of a subscription with its dead letters, and resolves with how many messages went with them. Rejects
   * with SLUICE_CONFLICT while somebody consumes, or it holds messages, unless `force` is set.
   */
  deleteQueue(queue: string, options?: { readonly force?: boolean }): AsyncResult<number>
}
