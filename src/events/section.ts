/** The configuration of events. */
import { boolean, duration, integer, list, oneOf, size, text } from '../config/fields.ts'
import { defineSection, type SectionValues } from '../config/section.ts'
import { isPattern } from './pattern.ts'

export const TRANSPORT_CHOICES = ['log', 'rabbitmq', 'kafka', 'auto'] as const

/** A name that Kafka takes for a topic. */
const CHANNEL = /^[a-zA-Z0-9._-]{1,120}$/

export const eventsSection = defineSection({
  name: 'events',
  fields: {
    transport: oneOf(TRANSPORT_CHOICES, {
      env: 'EVENTS_TRANSPORT',
      default: 'log',
      doc: 'How events travel: the log alone, or a broker behind it; auto takes the broker that has an address, else the log',
    }),
    channel: text({
      env: 'EVENTS_CHANNEL',
      default: 'events',
      doc: 'Topic of Kafka that events travel in; made where it is not there',
    }),
    partitions: integer({
      env: 'EVENTS_PARTITIONS',
      default: 6,
      min: 1,
      max: 1_000,
      doc: 'Partitions of that topic, where it has to be made',
    }),
    unroutable: oneOf(['accept', 'refuse'], {
      env: 'EVENTS_UNROUTABLE',
      doc: 'An event that no queue of RabbitMQ takes: accept counts and drops it there, refuse is an error or a dead letter; without, accept behind the log and refuse without one',
    }),
    relayTopics: list({
      env: 'EVENTS_RELAY_TOPICS',
      default: ['#'],
      doc: 'Patterns of the topics that go from the log to the broker',
    }),
    bridgeTopics: list({
      env: 'EVENTS_BRIDGE_TOPICS',
      doc: 'Patterns of the topics that come from the broker into the log; without it, those that are subscribed to',
    }),
    inboxKeep: duration({
      env: 'EVENTS_INBOX_KEEP',
      unit: 'm',
      default: '7d',
      min: 60_000,
      doc: 'Ids of events that came from a broker are remembered this long, so that a second delivery is known',
    }),
    concurrency: integer({
      env: 'EVENTS_CONCURRENCY',
      default: 10,
      min: 1,
      max: 10_000,
      doc: 'Handlers of one subscription that run at once in each shard, where it does not say otherwise',
    }),
    pollInterval: duration({
      env: 'EVENTS_POLL_INTERVAL',
      unit: 's',
      default: '1s',
      min: 100,
      doc: 'Readers look at the log this often even when no hint tells them of an event',
    }),
    notify: boolean({
      env: 'EVENTS_NOTIFY',
      default: true,
      doc: 'Send and hear notifications; without them, events of other processes are seen at the next poll',
    }),
    maxBodySize: size({
      env: 'EVENTS_MAX_BODY_SIZE',
      default: '1mb',
      min: 1,
      max: '16mb',
      doc: 'Data of one event as JSON, at most',
    }),
    retention: duration({
      env: 'EVENTS_RETENTION',
      unit: 'm',
      default: '7d',
      min: 60_000,
      doc: 'Events are kept this long, and at most about a day longer',
    }),
    keepDead: duration({
      env: 'EVENTS_KEEP_DEAD',
      unit: 'm',
      default: '30d',
      doc: 'Dead letters are deleted after this long; 0 for never',
    }),
    stallTimeout: duration({
      env: 'EVENTS_STALL_TIMEOUT',
      unit: 's',
      default: '2m',
      min: 1_000,
      doc: 'A shard that has something to do and moves nothing for this long is reported and restarted',
    }),
    shutdownTimeout: duration({
      env: 'EVENTS_SHUTDOWN_TIMEOUT',
      unit: 's',
      default: '15s',
      doc: 'At a shutdown, handlers that still run after this long are aborted; their events come again',
    }),
  },
  check: ({ channel, relayTopics, bridgeTopics = [] }) => [
    ...(CHANNEL.test(channel)
      ? []
      : [{ field: 'channel', expected: '1 to 120 letters, digits, dots, dashes and underscores' } as const]),
    ...(relayTopics.every(isPattern) ? [] : [{ field: 'relayTopics', expected: PATTERNS } as const]),
    ...(bridgeTopics.every(isPattern) ? [] : [{ field: 'bridgeTopics', expected: PATTERNS } as const]),
  ],
})

const PATTERNS = 'patterns of topics: words joined by dots, * for one word, # for any number'

export type EventsConfig = SectionValues<typeof eventsSection.fields>
