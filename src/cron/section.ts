/** The configuration of schedules. */
import { boolean, duration, integer, oneOf, record, text } from '../config/fields.ts'
import { defineSection, type SectionValues } from '../config/section.ts'

export const cronSection = defineSection({
  name: 'cron',
  fields: {
    jobs: record(
      {
        schedule: text({ doc: 'Five or six fields, or a nickname such as @hourly' }),
        timezone: text({ doc: 'Time zone such as Europe/Berlin', default: 'UTC' }),
        overlap: oneOf(['skip', 'queue', 'allow'], {
          doc: 'What happens to a slot while an earlier run is under way',
          default: 'skip',
        }),
        missed: oneOf(['skip', 'once', 'all'], {
          doc: 'What happens to slots that nobody ran in time',
          default: 'skip',
        }),
        enabled: boolean({ doc: 'false: neither scheduled nor run by time', default: true }),
      },
      { doc: 'Schedules by name; the functions are registered in code by that name' },
    ),
    historySize: integer({
      env: 'CRON_HISTORY_SIZE',
      default: 100,
      min: 1,
      max: 10_000,
      doc: 'Finished runs kept of each schedule',
    }),
    pollInterval: duration({
      env: 'CRON_POLL_INTERVAL',
      unit: 's',
      default: '2s',
      min: 100,
      max: '30s',
      doc: 'With a database: look for what others changed this often, even when no hint tells of it',
    }),
    shutdownTimeout: duration({
      env: 'CRON_SHUTDOWN_TIMEOUT',
      unit: 's',
      default: '15s',
      doc: 'At a shutdown, runs that are still under way after this long are aborted',
    }),
  },
})

export type CronConfig = SectionValues<typeof cronSection.fields>
