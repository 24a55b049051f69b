/**
 * What services are handed by `audit()`, and what it promises.
 *
 * - A record that `record` acknowledged is stored durably; with `{ tx }` it is there when the transaction commits, and
 *   never otherwise. A record that could not be stored rejects with a code; none is dropped without a word.
 * - Records cannot be changed, and deleted only by the retention that the configuration asks for: the table refuses it.
 *   Whoever may alter tables can get around that, which is what chains are for.
 * - Records of one `chain` hold the hash of the one before: `verify` finds what was changed, deleted in the middle or
 *   inserted. Cutting off the newest ones leaves a valid chain: keep what `head` says somewhere else, and hand it to
 *   `verify`.
 */
import type { ComponentBase } from '../app/component.ts'
import type { Transaction } from '../components/postgres/api.ts'
import type { AsyncResult } from '../core/async-result.ts'

export interface AuditEntry {
  /** Who: a user's id, a service. At most 200 characters. */
  readonly actor: string
  /** Did what, such as `user.deleted`. At most 200 characters. */
  readonly action: string
  /** To what, such as `user:17`. At most 500 characters. */
  readonly subject?: string | undefined
  /** JSON data. What is named like a secret is taken out, as in the log. */
  readonly before?: unknown
  readonly after?: unknown
  readonly meta?: unknown
}

export interface RecordOptions {
  /** Commits with this transaction, or not at all. */
  readonly tx?: Transaction | undefined
  /** Name of a chain of hashes: its writers wait for each other until they commit. At most 200 characters. */
  readonly chain?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface AuditRecord {
  readonly id: string
  /** By the database's clock. */
  readonly at: Date
  readonly actor: string
  readonly action: string
  readonly subject: string | undefined
  readonly before: unknown
  readonly after: unknown
  readonly meta: unknown
  readonly chain: string | undefined
}

export interface AuditFilter {
  readonly actor?: string | undefined
  readonly action?: string | undefined
  readonly subject?: string | undefined
  /** At this time or later. */
  readonly from?: Date | undefined
  /** Before this time. */
  readonly to?: Date | undefined
  /** 1 to 1,000. @default 100 */
  readonly limit?: number | undefined
  /** The `next` of the page before. */
  readonly after?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface AuditPage {
  /** The newest first. */
  readonly records: readonly AuditRecord[]
  /** For `after`, also when the retention has deleted records meanwhile; undefined on the last page. */
  readonly next: string | undefined
}

export interface ChainHead {
  /** Of the newest record. */
  readonly id: string
  /** SHA-256 in hexadecimal. */
  readonly hash: string
}

/**
 * `changed`: its content is not what was hashed. `inserted`: the records around it do not know it. `unlinked`: what was
 * before it is missing, or was changed and hashed anew. `cut`: the anchor is not in the chain.
 */
export type ChainFault = 'changed' | 'inserted' | 'unlinked' | 'cut'

export type Verification =
  | { readonly ok: true; readonly records: number; readonly head: ChainHead | undefined }
  | { readonly ok: false; readonly records: number; readonly id: string; readonly fault: ChainFault }

export interface VerifyOptions {
  /** What `head` once said. */
  readonly anchor?: ChainHead | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Audit extends ComponentBase {
  /**
   * Resolves when it is stored (with `tx`: when it is part of the transaction), with its id. SLUICE_INVALID_DATA,
   * SLUICE_TOO_LARGE; SLUICE_UNAVAILABLE and other codes when the database was away for longer than `audit.timeout`.
   * Stored once, also where the answer of the database was lost and it was sent again.
   */
  record(entry: AuditEntry, options?: RecordOptions): AsyncResult<{ readonly id: string }>
  query(filter?: AuditFilter): AsyncResult<AuditPage>
  /** Reads the whole chain, oldest first, and names the first record that is wrong. */
  verify(chain: string, options?: VerifyOptions): Promise<Verification>
  /** Undefined for a chain without records. */
  head(chain: string): AsyncResult<ChainHead | undefined>
}
