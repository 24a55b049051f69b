/** `sluice/rabbitmq`: confirmed publishing and subscriptions on RabbitMQ. */
export { rabbitmq, type RabbitMQOptions } from './rabbitmq.ts'
export type { BatchMessage, RabbitMQ } from './api.ts'
export type { MappedMessage, RabbitMessage, RawMessage } from './consume/message.ts'
export type { Handler, HandlerPool, SubscribeOptions } from './consume/spec.ts'
export type { Subscription, SubscriptionState } from './consume/subscription.ts'
export type { DeadLetter, DeadLetterChoice, DeadLetters } from './dead-letters.ts'
export type { PublishOptions } from './publish/message.ts'
