/** A proxy with a bad network in it before the server of a database, which may listen on a Unix socket alone. */
import { startFaultProxy, type FaultProxy } from '../../src/testing/fault-proxy.ts'
import type { FaultTarget } from '../../src/testing/fault-connection.ts'

export interface DatabaseProxy extends AsyncDisposable {
  readonly proxy: FaultProxy
  /** Of the same database, through the proxy. */
  readonly dsn: string
}

export async function databaseProxy(dsn: string): Promise<DatabaseProxy> {
  const through = new URL(dsn)
  const port = Number(through.port === '' ? 5432 : through.port)
  const directory = through.searchParams.get('host')
  const target: FaultTarget =
    directory === null ? { host: through.hostname, port } : { path: `${directory}/.s.PGSQL.${port}` }
  const proxy = await startFaultProxy({ target })
  through.searchParams.delete('host')
  through.host = proxy.address
  return { proxy, dsn: through.href, [Symbol.asyncDispose]: () => proxy.close() }
}
