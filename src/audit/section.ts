/** The configuration of audit records. */
import { duration, integer, size } from '../config/fields.ts'
import { defineSection, type SectionValues } from '../config/section.ts'

export const auditSection = defineSection({
  name: 'audit',
  fields: {
    timeout: duration({
      env: 'AUDIT_TIMEOUT',
      unit: 's',
      default: '10s',
      min: 100,
      doc: 'A record waits this long for a database that is away, then it rejects',
    }),
    maxSize: size({
      env: 'AUDIT_MAX_SIZE',
      default: '64kb',
      min: 100,
      max: '16mb',
      doc: 'Before, after and meta of one record together as JSON, at most',
    }),
    maxWaiting: integer({
      env: 'AUDIT_MAX_WAITING',
      default: 10_000,
      min: 1,
      max: 1_000_000,
      doc: 'Records that may wait to be written; more are refused with SLUICE_POOL_FULL',
    }),
    retention: duration({
      env: 'AUDIT_RETENTION',
      unit: 'd',
      default: 0,
      doc: 'Records without a chain are deleted when they are this old; 0 for never',
    }),
  },
})

export type AuditConfig = SectionValues<typeof auditSection.fields>
