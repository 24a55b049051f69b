/** What the owner of an embedded server may choose. */
import type { Clock } from '../../../core/clock.ts'
import type { Logger } from '../../../telemetry/log.ts'
import type { RootWay } from './privilege.ts'

export interface EmbeddedOptions {
  /** Directory of the database; relative to the working directory. @default .sluice/<app>/postgres */
  readonly dataDir?: string | undefined
  /** Directory with `postgres` and `initdb` of an installed PostgreSQL, 15 or later. @default the npm package's */
  readonly binDir?: string | undefined
  /** Ways of dropping root to try, in order. @default setuid, namespace, copy */
  readonly rootWays?: readonly RootWay[] | undefined
  /** False for data that may be lost: nothing is synced, and a damaged database is made anew. @default true */
  readonly durable?: boolean | undefined
  /** Part of the default directory, and shown by the server's command line. */
  readonly appName: string
  readonly log: Logger
  readonly clock: Clock
}

export type Progress = (fraction: number, note?: string) => void
