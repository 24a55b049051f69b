/** How a caller gets a connection of its own: for the time of one operation, or for as long as it likes. */
import { onAbort } from '../../core/abort.ts'
import type { Call, OperationSpec } from '../../telemetry/operate.ts'
import type { DatabaseHost } from './database-host.ts'
import { givenUp } from './gone.ts'
import { OwnConnection } from './own-connection.ts'

/** A connection for `use`; closed under it when the call is over first. */
export async function withOwn<T>(
  host: DatabaseHost,
  what: string,
  call: Call,
  use: (own: OwnConnection) => Promise<T>,
): Promise<T> {
  const { signal } = call
  const connection = await host.pool().lease(signal)
  const own = new OwnConnection(host, connection, what, () => {})
  const off = onAbort(signal, () => connection.destroy(givenUp(host.component)))
  try {
    return await use(own)
  } finally {
    off()
    own.tidy()
    host.pool().release(connection)
  }
}

export interface TakenConnection {
  readonly own: OwnConnection
  readonly release: () => void
}

/** A connection until `release`; the operation is the taking. */
export async function takeOwn(
  host: DatabaseHost,
  what: string,
  spec: OperationSpec,
  signal: AbortSignal | undefined,
): Promise<TakenConnection> {
  const connection = await host.transactions.run(spec, (call) => host.pool().lease(call.signal), { signal })
  const own = new OwnConnection(host, connection, what, () => {})
  const release = (): void => {
    own.tidy()
    host.pool().release(connection)
  }
  return { own, release }
}
