/** Audit records as a component of an app. */
import type { ComponentDefinition } from '../app/component.ts'
import type { Duration } from '../core/duration.ts'
import type { Audit } from './api.ts'
import { createAudit } from './component.ts'
import { auditSection } from './section.ts'

export interface AuditOptions {
  /** Name of the postgres component that keeps the records. @default the only one */
  readonly database?: string
  /** How long a record waits for a database that is away. @default '10s' */
  readonly timeout?: Duration
  /** Before, after and meta of one record together as JSON. @default '64kb' */
  readonly maxSize?: number | string
  /** Records that may wait to be written. @default 10000 */
  readonly maxWaiting?: number
  /** Records without a chain are deleted when they are this old; 0 for never. @default 0 */
  readonly retention?: Duration
  /** Names of components that must be ready first. @default none */
  readonly dependsOn?: readonly string[]
}

/** Who did what, for `createApp`: stored with the change it tells of, never changed, found again. */
export function audit(options: AuditOptions = {}): ComponentDefinition<Audit, typeof auditSection.fields> {
  const { database, dependsOn = [], ...overrides } = options
  return {
    kind: 'audit',
    section: auditSection,
    overrides,
    dependsOn,
    requires: [{ kind: 'postgres', name: database }],
    workers: 5,
    connectTimeoutMs: 30_000,
    create: createAudit,
  }
}
