export { audit, type AuditOptions } from './audit.ts'
export type {
  Audit,
  AuditEntry,
  AuditFilter,
  AuditPage,
  AuditRecord,
  ChainFault,
  ChainHead,
  RecordOptions,
  Verification,
  VerifyOptions,
} from './api.ts'
