/** The audit component. What runs once there is a database is imported by `connect`, behind the open port. */
import { randomUUID } from 'node:crypto'
import type { Component, ComponentContext } from '../app/component.ts'
import { SluiceError } from '../core/errors.ts'
import { checkTransaction } from '../engine/transaction-option.ts'
import type { OperationLimits, OperationSpec } from '../telemetry/operate.ts'
import type { Audit, AuditRecord } from './api.ts'
import type { Hashed } from './canonical.ts'
import type { AuditRuntime } from './runtime.ts'
import type { AuditConfig } from './section.ts'

const RECORD: OperationSpec = Object.freeze({ name: 'record', idempotent: false })
const QUERY: OperationSpec = Object.freeze({ name: 'query', idempotent: false })
const HEAD: OperationSpec = Object.freeze({ name: 'head', idempotent: false })
/** A record's own limit is the writer's, whose error says what failed. */
const SLACK_MS = 5_000
const CLOSE_MS = 10_000

interface Row extends Hashed {
  readonly id: string
}

interface PlacedRow extends Row {
  /** For `after`. */
  readonly place: string
}

export function createAudit(context: ComponentContext<AuditConfig>): Component<Audit> {
  const { base, config, name } = context
  const limits: OperationLimits = {
    timeoutMs: config.timeout * 2 + SLACK_MS,
    maxConcurrent: config.maxWaiting,
    maxWaiting: config.maxWaiting,
    breakerThreshold: 0,
    breakerResetMs: 0,
    retries: 0,
  }
  const operations = context.operations(limits)
  let runtime: AuditRuntime | undefined
  const open = (): AuditRuntime => {
    if (runtime !== undefined) return runtime
    throw new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, { retryable: true })
  }
  const api: Audit = {
    ...base,
    record(entry, { tx, chain, signal } = {}) {
      return operations.run(
        RECORD,
        async () => {
          checkTransaction('audit.record', tx)
          const { gathered } = open()
          const { draftOf } = await import('./draft.ts')
          const draft = draftOf(entry, chain, config.maxSize)
          if (tx === undefined) return { id: await gathered.add({ ...draft, ticket: randomUUID() }) }
          const { writeIn } = await import('./writer.ts')
          return { id: (await writeIn(tx, [draft]))[0] ?? '' }
        },
        { signal },
      )
    },
    query(filter = {}) {
      return operations.run(
        QUERY,
        async (call) => {
          const { db } = open().engine
          const { queryOf } = await import('./query.ts')
          const { sql, params, limit } = queryOf(filter)
          const rows = await db.query<PlacedRow>(sql, params, {
            label: 'sluice.audit.query',
            signal: call.signal,
          })
          const records = rows.slice(0, limit).map(recordOf)
          return { records, next: rows.length > limit ? rows[limit - 1]?.place : undefined }
        },
        { signal: filter.signal },
      )
    },
    async verify(chain, { anchor, signal } = {}) {
      const { db } = open().engine
      const [{ verifyChain }, { CHAIN }] = await Promise.all([
        import('./verify.ts'),
        import('./statements.ts'),
      ])
      return verifyChain(db.stream(CHAIN, [chain], { signal }), anchor)
    },
    head: (chain) =>
      operations.run(HEAD, async () => {
        const { db } = open().engine
        const { HEAD: statement } = await import('./statements.ts')
        const row = await db.queryOne<{ id: string | null; hash: string | null }>(statement, [chain], {
          label: 'sluice.audit.head',
        })
        return row?.id && row.hash ? { id: row.id, hash: row.hash } : undefined
      }),
  }
  return {
    api,
    async connect(signal) {
      const { AuditRuntime } = await import('./runtime.ts')
      signal.throwIfAborted()
      if (runtime !== undefined) return
      const opened = new AuditRuntime(context)
      await opened.open(signal)
      runtime = opened
    },
    async check(signal) {
      await open().engine.tables.check(signal)
    },
    async close() {
      const closing = runtime
      runtime = undefined
      await closing?.close(Math.min(config.timeout, CLOSE_MS))
    },
    inspect: () => ({
      waiting: runtime?.gathered.waiting ?? 0,
      written: runtime?.gathered.stats().items ?? 0,
      failedBatches: runtime?.gathered.stats().failedBatches ?? 0,
    }),
  }
}

function recordOf({ place: _place, ...row }: PlacedRow): AuditRecord {
  return { ...row, subject: row.subject ?? undefined, chain: row.chain ?? undefined }
}
