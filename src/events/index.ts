/** `sluice/events`: durable events in a log that commits with your data, read by any number of subscriptions. */
export { event, type EventOptions, type EventType } from './event.ts'
export { events, type EventsOptions } from './events.ts'
export { FEATURES, TRANSPORTS, type Feature, type Transport, type TransportFeatures } from './features.ts'
export type { BrokerKind, ForeignMapping, ForeignMessage, MappedEvent } from './transports/broker.ts'
export type {
  BatchSubscribeOptions,
  DeadEvent,
  DeadEventFilter,
  RedrivenEvents,
  RemovedSubscription,
  RedriveEventsOptions,
  DeadEvents,
  DeliveryError,
  EventBatchContext,
  EventBatchHandler,
  EventContext,
  EventHandler,
  EventInput,
  EventOrigin,
  Events,
  OnceOptions,
  PublishedEvent,
  PublishOptions,
  ReplayInfo,
  ReplayOptions,
  RetryEventsFilter,
  StandingEvent,
  SubscribeOptions,
  Subscription,
  SubscriptionLag,
  TopicInfo,
  WaitingEvent,
  WaitingEventFilter,
  WaitingEvents,
  WaitingEventState,
} from './api.ts'
