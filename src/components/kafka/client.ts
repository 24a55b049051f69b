/** The API over its parts: every operation goes through `operations`. */
import type { ComponentBase } from '../../app/component.ts'
import { invalidArgument } from '../../core/errors.ts'
import type { CallOptions, Operations } from '../../telemetry/operate.ts'
import type { DeadLetters } from './admin/dead-letters.ts'
import type { OffsetAdmin } from './admin/offsets.ts'
import type { TopicAdmin } from './admin/topics.ts'
import type { Kafka, KafkaCallOptions } from './api.ts'
import { checkTopic } from './publish/record.ts'
import type { Publisher } from './publish/publisher.ts'

export interface ClientParts {
  readonly base: ComponentBase
  readonly operations: Operations
  readonly publisher: Publisher
  readonly topics: TopicAdmin
  readonly offsets: OffsetAdmin
  readonly deadLetters: DeadLetters
  readonly group: string
  readonly topic: string
  readonly consume: Kafka['consume']
}

const LAG = { name: 'lag', idempotent: true }
const SEEK = { name: 'seek', idempotent: true }
const DEAD_LETTERS = { name: 'deadLetters', idempotent: true }
const REDRIVE = { name: 'redrive', idempotent: false }
const CREATE_TOPIC = { name: 'createTopic', idempotent: true }
const DELETE_TOPICS = { name: 'deleteTopics', idempotent: false }
const TOPICS = { name: 'topics', idempotent: true }

const MAX_LETTERS = 10_000

export function createClient(parts: ClientParts): Kafka {
  const { base, operations, publisher, topics, offsets, deadLetters, consume } = parts
  const groupOf = (options?: { readonly group?: string }): string => options?.group ?? parts.group
  return {
    ...base,
    topic: parts.topic,
    publish: (topic, value, options) =>
      publisher.publish(topic, { ...options, value }, options === undefined ? undefined : callOf(options)),
    publishBatch: (topic, messages, options) => publisher.publishBatch(topic, messages, options),
    consume,
    lag: (topic, options) =>
      operations.run(
        LAG,
        (call) => offsets.lag([checked(topic)], groupOf(options), call.signal),
        callOf(options),
      ),
    seek: (topic, position, options) =>
      operations.run(
        SEEK,
        async (call) => {
          const places = await offsets.placesOf([checked(topic)], call.signal)
          await offsets.put(groupOf(options), await offsets.find(places, position, call.signal), call.signal)
        },
        callOf(options),
      ),
    deadLetters: (topic, options) =>
      operations.run(
        DEAD_LETTERS,
        (call) => deadLetters.list(checked(topic), groupOf(options), limitOf(options), call.signal),
        callOf(options),
      ),
    redrive: (topic, options) =>
      operations.run(
        REDRIVE,
        (call) => deadLetters.redrive(checked(topic), groupOf(options), limitOf(options), call.signal),
        callOf(options),
      ),
    createTopic: (topic, options) =>
      operations.run(
        CREATE_TOPIC,
        (call) => topics.create(checked(topic), options, call.signal),
        callOf(options),
      ),
    deleteTopics: (names, options) =>
      operations.run(
        DELETE_TOPICS,
        (call) => topics.remove(names.map(checked), call.signal),
        callOf(options),
      ),
    topics: (options) => operations.run(TOPICS, (call) => topics.list(call.signal), callOf(options)),
  }
}

function callOf(options: KafkaCallOptions | undefined): CallOptions | undefined {
  return options === undefined ? undefined : { signal: options.signal, timeout: options.timeout }
}

function checked(topic: string): string {
  checkTopic(topic)
  return topic
}

function limitOf(options: { readonly limit?: number } | undefined): number {
  const limit = options?.limit ?? 100
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_LETTERS) return limit
  throw invalidArgument('limit', `a whole number from 1 to ${MAX_LETTERS}`, limit)
}
