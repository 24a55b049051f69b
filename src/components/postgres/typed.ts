/** What the query builders are given: one statement at a time, and a connection for transactions that they begin. */
import type { DriverResult } from './driver.ts'
import type { SendExtras } from './send.ts'

export interface TypedHost {
  readonly component: string
  /** Sends one statement on any connection, as an operation of the component. */
  query(sql: string, params: readonly unknown[], extras?: SendExtras): Promise<DriverResult>
  /** A connection for the transaction that the builder is about to begin. */
  begin(): Promise<TypedConnection>
  stream(sql: string, params: readonly unknown[], batchSize: number): AsyncIterableIterator<object>
}

export interface TypedConnection {
  /** Takes `begin`, `commit` and savepoints as well. */
  query(sql: string, params: readonly unknown[], extras?: SendExtras): Promise<DriverResult>
  /** Gives the connection back; one that is still inside a transaction is closed, which rolls back. */
  release(): Promise<void>
}
