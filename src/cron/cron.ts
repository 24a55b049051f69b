/** Schedules as a component of an app. */
import type { ComponentDefinition } from '../app/component.ts'
import type { Duration } from '../core/duration.ts'
import type { Cron } from './api.ts'
import { createCron } from './component.ts'
import { cronSection } from './section.ts'

export interface CronOptions {
  /** Name of the postgres component whose processes share the slots. @default the only one, where there is one */
  readonly database?: string
  /** Schedules by name, as in sluice.yaml. */
  readonly jobs?: Readonly<
    Record<
      string,
      {
        readonly schedule: string
        readonly timezone?: string
        readonly overlap?: 'skip' | 'queue' | 'allow'
        readonly missed?: 'skip' | 'once' | 'all'
        readonly enabled?: boolean
      }
    >
  >
  /** Finished runs kept of each schedule. @default 100 */
  readonly historySize?: number
  /** @default '2s' */
  readonly pollInterval?: Duration
  /** @default '15s' */
  readonly shutdownTimeout?: Duration
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

/** Schedules for `createApp`: with a database each slot runs once in the cluster, without one in each process. */
export function cron(options: CronOptions = {}): ComponentDefinition<Cron, typeof cronSection.fields> {
  const { database, dependsOn = [], ...overrides } = options
  return {
    kind: 'cron',
    section: cronSection,
    overrides,
    dependsOn,
    requires: [{ kind: 'postgres', name: database, optional: true }],
    workers: 5,
    connectTimeoutMs: 30_000,
    create: createCron,
  }
}
