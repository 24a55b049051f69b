/** Connections that a caller keeps from call to call: for the cursor of a stream, and for a transaction that a query builder begins. */
import { onAbort } from '../../core/abort.ts'
import type { Call, OperationSpec } from '../../telemetry/operate.ts'
import { END_MS, type DatabaseHost } from './database-host.ts'
import { givenUp } from './gone.ts'
import { refuseLasting } from './connection-acts.ts'
import { OwnConnection } from './own-connection.ts'
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

/**
 * A transaction of a query builder, from the lease to the release one operation: its deadline is that of a transaction.
 * When it passes, the connection is closed and goes back, whatever the builder's function waits for.
 */
export function begin(host: DatabaseHost): Promise<TypedConnection> {
  const begun = Promise.withResolvers<TypedConnection>()
  host.transactions
    .run(
      TRANSACTION,
      (call) =>
        new Promise<void>((resolve, reject) => {
          keep(host, call, resolve).then(begun.resolve, reject)
        }),
    )
    .catch(begun.reject)
  return begun.promise
}

/** `over` is called once, when the connection has gone back. */
async function keep(host: DatabaseHost, call: Call, over: () => void): Promise<TypedConnection> {
  const { signal } = call
  const connection = await host.pool().lease(signal)
  const own = new OwnConnection(host, connection, 'transaction', refuseLasting)
  let off = (): void => {}
  let isKept = true
  const release = (): void => {
    if (!isKept) return
    isKept = false
    off()
    own.tidy()
    host.pool().release(connection)
    over()
  }
  off = onAbort(signal, () => {
    connection.destroy(givenUp(host.component))
    release()
  })
  const send: TypedConnection['query'] = async (sql, params, extras) => {
    if (!/^\s*(begin|commit|rollback|savepoint|release)\b/i.test(sql)) {
      return own.send(TYPED, sql, params, undefined, (result) => result, extras)
    }
    const isCommit = /^\s*commit\b/i.test(sql)
    const result = await own.control(sql, Math.min(call.remainingMs, host.controlMs), !isCommit)
    if (isCommit && result.command === 'ROLLBACK') throw rolledBack(host.component, own.firstFailure)
    return result
  }
  return {
    // What the connection was closed for says more than that it was.
    query: (sql, params, extras) =>
      send(sql, params, extras).catch((error: unknown) => {
        throw signal.aborted ? signal.reason : error
      }),
    release: () => Promise.resolve(release()),
  }
}
