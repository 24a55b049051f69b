/** `sluice/events`: durable events in a log that commits with your data, read by any number of subscriptions. */
export { event, type EventOptions, type EventType } from './event.ts'
export { events, type EventsOptions } from './events.ts'
export { TRANSPORTS, type Transport, type TransportFeatures } from './features.ts'
export type {
  BatchSubscribeOptions,
  DeadEvent,
  DeadEventFilter,
  RedrivenEvents,
  RedriveEventsOptions,
  DeadEvents,
  DeliveryError,
  EventBatchContext,
  EventBatchHandler,
  EventContext,
  EventHandler,
  EventInput,
  Events,
  OnceOptions,
  PublishedEvent,
  PublishOptions,
  ReplayInfo,
  ReplayOptions,
  SubscribeOptions,
  Subscription,
  SubscriptionLag,
  TopicInfo,
} from './api.ts'
