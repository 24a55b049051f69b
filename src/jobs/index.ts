/** `sluice/jobs`: work that survives, on PostgreSQL. */
import type { ComponentContext, ComponentDefinition } from '../app/component.ts'
import type { Duration } from '../core/duration.ts'
import type { Jobs } from './api.ts'
import { createJobs } from './component.ts'
import { jobsSection, type JobsConfig } from './section.ts'

export { job, type Job, type JobOptions } from './job.ts'
export { noRetry } from './no-retry.ts'
export type {
  BatchContext,
  BatchHandler,
  BatchOptions,
  DeadLetter,
  DeadLetterFilter,
  DeadLetters,
  EnqueuedJob,
  EnqueueOptions,
  GroupStats,
  HandleOptions,
  JobContext,
  JobError,
  JobFilter,
  JobHandler,
  JobInfo,
  JobInput,
  Jobs,
  JobState,
  JobWorker,
  ListedJob,
  QueueStats,
  RedriveOptions,
  Redriven,
  UniqueOptions,
} from './api.ts'

/** Values given in code win over the environment and sluice.yaml. Durations are milliseconds or text such as '5s'. */
export interface JobsOptions {
  /** Name of the postgres component that they live in. @default the only one */
  readonly database?: string
  /** JOBS_CONCURRENCY: jobs of one name run at once. @default 20 */
  readonly concurrency?: number
  /** JOBS_POLL_INTERVAL: workers look this often without a hint. @default '2s' */
  readonly pollInterval?: Duration
  /** JOBS_NOTIFY: send and hear notifications. @default true */
  readonly notify?: boolean
  /** JOBS_MAX_BODY_SIZE: data of one job as JSON. @default '1mb' */
  readonly maxBodySize?: number | string
  /** JOBS_KEEP_DEAD: how long dead letters are kept. @default '30d' */
  readonly keepDead?: Duration
  /** JOBS_SHUTDOWN_TIMEOUT: how long jobs may run on at a shutdown. @default '15s' */
  readonly shutdownTimeout?: Duration
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

/** Jobs in the database of the app's postgres component. */
export function jobs(options: JobsOptions = {}): ComponentDefinition<Jobs, typeof jobsSection.fields> {
  const { database, dependsOn = [], ...overrides } = options
  return Object.freeze({
    kind: 'jobs',
    section: jobsSection,
    overrides: Object.freeze(overrides),
    dependsOn: Object.freeze([...dependsOn]),
    requires: [
      { kind: 'postgres', name: database },
      { kind: 'threads', optional: true },
    ],
    workers: 10,
    connectTimeoutMs: 60_000,
    create: (context: ComponentContext<JobsConfig>) => createJobs(context),
  })
}
