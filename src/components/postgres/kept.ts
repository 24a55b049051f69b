/** Connections that a caller keeps from call to call: for the cursor of a stream, and for a transaction that a query builder begins. */
import { onAbort } from '../../core/abort.ts'
import type { OperationSpec } from '../../telemetry/operate.ts'
import { END_MS, type DatabaseHost } from './database-host.ts'
import { givenUp } from './gone.ts'
import { takeOwn } from './own.ts'
import { specPair } from './send.ts'
import type { CursorConnection } from './stream.ts'
import { rolledBack } from './transaction.ts'
import type { TypedConnection } from './typed.ts'

const TYPED = specPair('query')
const TRANSACTION: OperationSpec = Object.freeze({ name: 'transaction', idempotent: false })
const CURSOR: OperationSpec = Object.freeze({ name: 'openCursor', idempotent: false })

/** A cursor in a read-only transaction. Only its opening is an operation; each fetch is one of its own. */
export async function openCursor(
  host: DatabaseHost,
  signal: AbortSignal | undefined,
): Promise<CursorConnection> {
  const { own, release } = await takeOwn(host, 'stream', CURSOR, signal)
  try {
    await own.control('begin isolation level read committed read only', END_MS)
  } catch (error) {
    release()
    throw error
  }
  const off = onAbort(signal, () => own.connection.destroy(givenUp(host.component)))
  return {
    name: 'sluice_cursor',
    send: (spec, sql, params) => own.send(spec, sql, params, undefined, (result) => result),
    finish: async () => {
      off()
      if (!own.closed && !own.connection.isClosed) await own.control('commit', END_MS).catch(() => {})
      release()
    },
  }
}

export async function begin(host: DatabaseHost): Promise<TypedConnection> {
  const { own, release } = await takeOwn(host, 'transaction', TRANSACTION, undefined)
  return {
    query: async (sql, params, extras) => {
      if (!/^\s*(begin|commit|rollback|savepoint|release)\b/i.test(sql)) {
        return own.send(TYPED, sql, params, undefined, (result) => result, extras)
      }
      const isCommit = /^\s*commit\b/i.test(sql)
      const result = await own.control(sql, host.controlMs, !isCommit)
      if (isCommit && result.command === 'ROLLBACK') throw rolledBack(host.component, own.firstFailure)
      return result
    },
    release: () => Promise.resolve(release()),
  }
}
