/** The events component, for `createApp`. */
import type { ComponentContext, ComponentDefinition } from '../app/component.ts'
import type { Duration } from '../core/duration.ts'
import type { Events } from './api.ts'
import { createEvents } from './component.ts'
import { eventsSection, type EventsConfig } from './section.ts'

/** Values given in code win over the environment and sluice.yaml. */
export interface EventsOptions {
  /** Name of the postgres component whose database holds the log. @default the only one */
  readonly database?: string
  /** EVENTS_CONCURRENCY. @default 10 */
  readonly concurrency?: number
  /** EVENTS_POLL_INTERVAL. @default '1s' */
  readonly pollInterval?: Duration
  /** EVENTS_NOTIFY. @default true */
  readonly notify?: boolean
  /** EVENTS_MAX_BODY_SIZE. @default '1mb' */
  readonly maxBodySize?: number | string
  /** EVENTS_RETENTION. @default '7d' */
  readonly retention?: Duration
  /** EVENTS_STALL_TIMEOUT. @default '2m' */
  readonly stallTimeout?: Duration
  /** EVENTS_SHUTDOWN_TIMEOUT. @default '15s' */
  readonly shutdownTimeout?: Duration
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

/** Durable events in a PostgreSQL database of the app. */
export function events(
  options: EventsOptions = {},
): ComponentDefinition<Events, typeof eventsSection.fields> {
  const { database, dependsOn = [], ...overrides } = options
  return Object.freeze({
    kind: 'events',
    section: eventsSection,
    overrides: Object.freeze(overrides),
    dependsOn: Object.freeze([...dependsOn]),
    requires: Object.freeze([{ kind: 'postgres', name: database }]),
    workers: 10,
    connectTimeoutMs: 60_000,
    create: (context: ComponentContext<EventsConfig>) => createEvents(context),
  })
}
