/** The configuration of jobs. */
import { boolean, duration, integer, size } from '../config/fields.ts'
import { defineSection, type SectionValues } from '../config/section.ts'

export const jobsSection = defineSection({
  name: 'jobs',
  fields: {
    concurrency: integer({
      env: 'JOBS_CONCURRENCY',
      default: 20,
      min: 1,
      max: 100_000,
      doc: 'Jobs of one name that run at once in this process, where neither job nor handler says otherwise',
    }),
    pollInterval: duration({
      env: 'JOBS_POLL_INTERVAL',
      unit: 's',
      default: '2s',
      min: 100,
      doc: 'Workers look for jobs this often even when no hint tells them of one',
    }),
    notify: boolean({
      env: 'JOBS_NOTIFY',
      default: true,
      doc: 'Send and hear notifications; without them, jobs of other processes start at the next poll',
    }),
    maxBodySize: size({
      env: 'JOBS_MAX_BODY_SIZE',
      default: '1mb',
      min: 1,
      max: '16mb',
      doc: 'Data of one job as JSON, at most',
    }),
    keepDead: duration({
      env: 'JOBS_KEEP_DEAD',
      unit: 'm',
      default: '30d',
      doc: 'Dead letters are deleted after this long; 0 for never',
    }),
    shutdownTimeout: duration({
      env: 'JOBS_SHUTDOWN_TIMEOUT',
      unit: 's',
      default: '15s',
      doc: 'At a shutdown, jobs that still run after this long are aborted and given back',
    }),
  },
})

export type JobsConfig = SectionValues<typeof jobsSection.fields>
