/** The configuration of events. */
import { boolean, duration, integer, size } from '../config/fields.ts'
import { defineSection, type SectionValues } from '../config/section.ts'

export const eventsSection = defineSection({
  name: 'events',
  fields: {
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
      doc: 'Events are kept this long, rounded up to whole partitions of the log',
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
})

export type EventsConfig = SectionValues<typeof eventsSection.fields>
