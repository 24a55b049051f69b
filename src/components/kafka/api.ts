/** What services are handed. */
import type { ComponentBase } from '../../app/component.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { BatchResult } from '../../core/batch-result.ts'
import type { CallOptions } from '../../telemetry/operate.ts'
import type { KafkaDeadLetter } from './admin/dead-letters.ts'
import type { Lag } from './admin/offsets.ts'
import type { CreateTopicOptions } from './admin/topics.ts'
import type { Consumption } from './consume/consumption.ts'
import type { MessageHandler } from './consume/failure.ts'
import type { ConsumeOptions, Position } from './consume/options.ts'
import type { KafkaRecord, KafkaValue, MessageOptions } from './publish/record.ts'
import type { Published } from './publish/sender.ts'

export type KafkaCallOptions = Pick<CallOptions, 'signal' | 'timeout'>

export interface GroupOptions extends KafkaCallOptions {
  /** @default KAFKA_CONSUMER_GROUP, else the name of the app */
  readonly group?: string
}

export interface DeadLetterOptions extends GroupOptions {
  /** At most so many, the oldest of each partition first. @default 100 */
  readonly limit?: number
}

/**
 * Kafka. Operations reject with SLUICE_NOT_READY until it is connected, SLUICE_TIMEOUT at their deadline,
 * SLUICE_UNAVAILABLE when the brokers cannot be reached, SLUICE_OUTCOME_UNKNOWN when they were lost after something was
 * sent.
 */
export interface Kafka extends ComponentBase {
  /** KAFKA_TOPIC, for services with one topic that deployments name; without it, the name of the app. */
  readonly topic: string
  /**
   * Publishes one message; resolves when the brokers have stored it, all replicas in sync included. Calls at the same
   * time are gathered into one request. SLUICE_OUTCOME_UNKNOWN: it may be stored; publish it again with the same id.
   */
  publish(
    topic: string,
    value: KafkaValue,
    options?: MessageOptions & KafkaCallOptions,
  ): AsyncResult<Published>
  /** Publishes many, in as few requests as the limits allow. Each message has a result of its own. */
  publishBatch(
    topic: string,
    messages: readonly KafkaRecord[],
    options?: KafkaCallOptions,
  ): BatchResult<Published>
  /**
   * Reads topics as a member of a group, from when the component is connected until it closes. The handler is called at
   * least once for each message; one that throws is tried again, then put into retry topics, then among the dead
   * letters. What is committed was handled, or put there. Throws SLUICE_INVALID_ARGUMENT.
   */
  consume(topic: string | readonly string[], handler: MessageHandler, options?: ConsumeOptions): Consumption
  /** How far a group is behind in a topic. */
  lag(topic: string, options?: GroupOptions): AsyncResult<Lag>
  /** Puts a group that has no members: SLUICE_CONFLICT where it has some, whose `Consumption` has a `seek` of its own. */
  seek(topic: string, position: Position, options?: GroupOptions): AsyncResult<void>
  /** What failed for good since the last redrive, with bytes and reasons. */
  deadLetters(topic: string, options?: DeadLetterOptions): AsyncResult<readonly KafkaDeadLetter[]>
  /** Hands dead letters to the group again, and to no other; resolves with how many. */
  redrive(topic: string, options?: DeadLetterOptions): AsyncResult<number>
  /** Makes a topic; false where it is there already. */
  createTopic(topic: string, options?: CreateTopicOptions & KafkaCallOptions): AsyncResult<boolean>
  deleteTopics(topics: readonly string[], options?: KafkaCallOptions): AsyncResult<void>
  /** Names of the topics, those of Kafka itself left out. */
  topics(options?: KafkaCallOptions): AsyncResult<readonly string[]>
}
