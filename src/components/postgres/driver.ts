/**
 * What is used of the `pg` package, loaded on first use.
 *
 * Public calls only, but for two places that `pg` has no call for: the socket (to write the statements of one tick in
 * one system call, to contain what the parser throws on garbage, and to end a frozen connection at once) and the table
 * of statements that a connection has prepared (to close the ones no longer used).
 */
import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { loadPeer } from '../../app/peer.ts'

export interface DriverResult {
  readonly command: string | null
  readonly rowCount: number | null
  readonly rows: unknown[]
  readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[]
}

export type DriverCallback = (error: Error | null, result: DriverResult | DriverResult[]) => void

export interface DriverQuery {
  callback: DriverCallback
}

/** Chooses the parser of a type by its oid. */
export interface TypeParsers {
  getTypeParser(oid: number, format?: 'text' | 'binary'): (value: string) => unknown
}

export interface DriverQueryConfig {
  readonly text: string
  readonly values?: readonly unknown[] | undefined
  readonly name?: string | undefined
  readonly rowMode?: 'array' | undefined
  readonly queryMode?: 'extended' | undefined
  readonly types?: TypeParsers | undefined
  readonly callback: DriverCallback
}

export interface DriverClient extends EventEmitter {
  readonly processID: number | null
  readonly secretKey: number | null
  /** A name, an address, or the directory of a socket. */
  readonly host: string
  readonly port: number
  readonly database: string | null | undefined
  /** Options of TLS; false for plaintext. */
  readonly ssl: boolean | Readonly<Record<string, unknown>>
  readonly sslNegotiation: string
  readonly connection: EventEmitter & {
    readonly stream: Socket
    readonly parsedStatements: Record<string, string>
    close(message: { readonly type: 'S'; readonly name: string }): void
  }
  connect(callback: (error: Error | null) => void): void
  query(query: unknown): unknown
  getTransactionStatus(): 'I' | 'T' | 'E' | null
  end(callback: () => void): void
}

export interface Driver {
  readonly Client: new (config: Readonly<Record<string, unknown>>) => DriverClient
  readonly Query: new (config: DriverQueryConfig) => DriverQuery
  readonly types: TypeParsers
}

export async function loadDriver(component: string): Promise<Driver> {
  const pg = await loadPeer('pg', component, () => import('pg'))
  return pg as unknown as Driver
}
